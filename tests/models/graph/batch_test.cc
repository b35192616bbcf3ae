// The reproducibility contract through the whole decoder: the logits of a sequence have the same
// bits alone and among neighbours, for any cut of the prompt, on every instruction set, for
// quantized weights and half-precision caches too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "models/loader/model.h"
#include "tests/support/backends.h"
#include "tests/support/sequence_runner.h"
#include "tests/support/tiny_model.h"

namespace quern {
namespace {

using formats::FormatId;

constexpr int32_t kTokens = 45;  // more than one page

std::vector<int32_t> prompt_of(int32_t seed) {
  std::vector<int32_t> tokens(kTokens);
  for (int32_t i = 0; i < kTokens; ++i) tokens[static_cast<size_t>(i)] = (seed * 31 + i * 17) % 320;
  return tokens;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// Architecture, format of matrices, experts (0: as usual for the architecture).
class BatchTest : public testing::TestWithParam<std::tuple<std::string, FormatId, int>> {
 protected:
  static tests_support::TinyModelOptions options() {
    const auto& [architecture, format, n_experts] = GetParam();
    tests_support::TinyModelOptions options = tests_support::tiny_options_for(format);
    options.architecture = architecture;
    options.optional_tensors = true;
    options.sliding_window = 13;
    options.n_experts = n_experts;
    return options;
  }
};

std::vector<float> alone(backend::Backend& backend, const loader::Model& model, int32_t seed,
                         int32_t chunk) {
  std::vector<float> logits;
  auto runner = tests_support::SequenceRunner::create(backend, model.weights(),
                                                      {.kv_format = ops::KvFormat::kF16});
  EXPECT_TRUE(runner.ok());
  EXPECT_TRUE((*runner)->feed(prompt_of(seed), chunk, logits).ok());
  return logits;
}

TEST_P(BatchTest, BitsDependNeitherOnChunksNorOnTheInstructionSet) {
  std::vector<float> first;
  for (const tests_support::NamedBackend& entry : tests_support::test_backends()) {
    if (!entry.reproducible) continue;
    SCOPED_TRACE(entry.name);
    const auto model = tests_support::tiny_model(options(), *entry.backend);
    ASSERT_TRUE(model.ok()) << model.error().message();
    for (const int32_t chunk : {64, 1, 7}) {
      const std::vector<float> logits = alone(*entry.backend, **model, 1, chunk);
      if (first.empty()) first = logits;
      EXPECT_TRUE(same_bits(logits, first)) << chunk;
    }
  }
}

// Three sequences of different lengths in shared steps, only some tokens wanting logits.
TEST_P(BatchTest, BitsDoNotDependOnNeighbours) {
  const auto backends = tests_support::test_backends();
  backend::Backend& backend = *backends.back().backend;
  const auto loaded = tests_support::tiny_model(options(), backend);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  const loader::Model& model = **loaded;
  const auto n_vocab = static_cast<size_t>(model.facts().n_vocab);
  auto cache = graph::KvStorage::create(backend, *model.weights(), ops::KvFormat::kF16, 6);
  auto forward = graph::ForwardPass::create(backend, model.weights(), 64, 3);
  ASSERT_TRUE(cache.ok() && forward.ok());

  constexpr int32_t kSequences = 3;
  const std::vector<std::vector<int32_t>> pages = {{4, 1}, {0, 5}, {3, 2}};
  const int32_t strides[kSequences] = {1, 4, 9};
  std::vector<std::vector<float>> expected;
  for (int32_t s = 0; s < kSequences; ++s) expected.push_back(alone(backend, model, s, 64));
  int32_t positions[kSequences] = {};
  while (positions[0] < kTokens) {
    std::vector<int32_t> tokens;
    std::vector<int32_t> outputs;
    std::vector<int32_t> output_sequences;
    std::vector<ops::SequenceSlice> slices;
    for (int32_t s = 0; s < kSequences; ++s) {
      const int32_t n = std::min(strides[s], kTokens - positions[s]);
      if (n == 0) continue;
      const std::vector<int32_t> prompt = prompt_of(s);
      slices.push_back({.first_token = static_cast<int32_t>(tokens.size()),
                        .n_tokens = n,
                        .first_position = positions[s],
                        .pages = pages[static_cast<size_t>(s)]});
      tokens.insert(tokens.end(), prompt.begin() + positions[s], prompt.begin() + positions[s] + n);
      positions[s] += n;
      // The second sequence wants logits only at its end, as a prompt in chunks does.
      if (s == 1 && positions[s] < kTokens) continue;
      outputs.push_back(static_cast<int32_t>(tokens.size()) - 1);
      output_sequences.push_back(s);
    }
    std::vector<float> logits(outputs.size() * n_vocab);
    ASSERT_TRUE(
        (*forward)
            ->run({.tokens = tokens, .sequences = slices, .outputs = outputs}, **cache, logits)
            .ok());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const auto s = static_cast<size_t>(output_sequences[i]);
      const auto at = static_cast<size_t>(positions[s] - 1) * n_vocab;
      EXPECT_TRUE(same_bits(std::span(logits).subspan(i * n_vocab, n_vocab),
                            std::span(expected[s]).subspan(at, n_vocab)))
          << "sequence " << s << " position " << positions[s] - 1;
    }
  }
}

std::string name_of(const testing::TestParamInfo<BatchTest::ParamType>& info) {
  const auto& [architecture, format, n_experts] = info.param;
  std::string name = architecture + "_" + std::string(formats::format_info(format).name);
  if (n_experts > 0) name += "_experts" + std::to_string(n_experts);
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, BatchTest,
                         testing::Values(std::tuple("llama", FormatId::kF16, 0),
                                         std::tuple("llama", FormatId::kQ8_0, 0),
                                         std::tuple("qwen2", FormatId::kQ4_K, 0),
                                         std::tuple("qwen3", FormatId::kQ6_K, 0),
                                         std::tuple("gemma2", FormatId::kQ4_0, 0),
                                         std::tuple("phi3", FormatId::kBF16, 0),
                                         std::tuple("llama", FormatId::kQ4_K, 8),
                                         std::tuple("llama", FormatId::kF32, 3),
                                         std::tuple("qwen2moe", FormatId::kQ5_K, 0),
                                         std::tuple("qwen3moe", FormatId::kQ8_0, 0)),
                         name_of);

}  // namespace
}  // namespace quern
