// Low-rank adapters in the forward pass: logits equal those of peft on transformers for the golden
// adapters of tests/golden/adapters, and a sequence's bits depend on its own adapters only.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "models/gguf/reader.h"
#include "models/loader/adapter.h"
#include "models/loader/model.h"
#include "tests/support/backends.h"
#include "tests/support/sequence_runner.h"
#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace quern {
namespace {

using formats::FormatId;
using tests_support::RunnerOptions;
using tests_support::SequenceRunner;

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::shared_ptr<const gguf::GgufFile> open(const std::filesystem::path& path) {
  auto file = gguf::GgufFile::open(std::filesystem::path(QUERN_SOURCE_DIR "/tests/golden") / path);
  EXPECT_TRUE(file.ok()) << file.error().message();
  return *file;
}

std::vector<float> run(backend::Backend& backend, const loader::Model& model,
                       const std::vector<int32_t>& prompt, int32_t chunk,
                       const RunnerOptions& options) {
  std::vector<float> logits;
  auto runner = SequenceRunner::create(backend, model.weights(), options);
  EXPECT_TRUE(runner.ok());
  EXPECT_TRUE((*runner)->feed(prompt, chunk, logits).ok());
  return logits;
}

class GoldenAdapter : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::filesystem::path folder = std::filesystem::path("adapters") / GetParam();
    adapter_ = open(folder / "adapter.gguf");
    const auto expected = open(folder / "expected.gguf");
    base_ = open("arch/" + std::string(*expected->metadata().get_string("golden.base")) + ".gguf");
    prompt_ = **expected->metadata().find_array<int32_t>("golden.prompt");
    const gguf::TensorInfo* logits = expected->find_tensor("golden.logits");
    logits_.resize(logits->n_values());
    std::memcpy(logits_.data(), logits->data.data(), logits->data.size());
  }

  std::shared_ptr<const gguf::GgufFile> adapter_;
  std::shared_ptr<const gguf::GgufFile> base_;
  std::vector<int32_t> prompt_;
  std::vector<float> logits_;
};

TEST_P(GoldenAdapter, LogitsEqualTheReference) {
  std::vector<float> first_bits;
  for (const tests_support::NamedBackend& entry : tests_support::test_backends()) {
    SCOPED_TRACE(entry.name);
    const auto model = loader::Model::load(base_, *entry.backend);
    ASSERT_TRUE(model.ok()) << model.error().message();
    const auto adapter = loader::Adapter::load(adapter_, **model, *entry.backend);
    ASSERT_TRUE(adapter.ok()) << adapter.error().message();
    const RunnerOptions with = {.adapters = {(*adapter)->weights()}, .uses = {{0, 1.0F}}};
    const std::vector<float> whole = run(*entry.backend, **model, prompt_, 64, with);
    ASSERT_EQ(whole.size(), logits_.size());
    float worst = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      worst = std::max(worst, std::fabs(whole[i] - logits_[i]));
    }
    EXPECT_LE(worst, 1e-4F);
    RecordProperty(entry.name, std::to_string(worst));
    for (const int32_t chunk : {1, 7, 33}) {
      EXPECT_TRUE(same_bits(whole, run(*entry.backend, **model, prompt_, chunk, with))) << chunk;
    }
    if (!entry.reproducible) continue;
    if (first_bits.empty()) first_bits = whole;
    EXPECT_TRUE(same_bits(whole, first_bits)) << "other bits than the first instruction set";
  }
}

// A pass that knows adapters, for a sequence that uses none or one at strength 0.
TEST_P(GoldenAdapter, UnusedItChangesNoBit) {
  for (const tests_support::NamedBackend& entry : tests_support::test_backends()) {
    SCOPED_TRACE(entry.name);
    const auto model = loader::Model::load(base_, *entry.backend);
    const auto adapter = loader::Adapter::load(adapter_, **model, *entry.backend);
    ASSERT_TRUE(model.ok() && adapter.ok());
    const std::vector<float> plain = run(*entry.backend, **model, prompt_, 64, {});
    const RunnerOptions unused = {.adapters = {(*adapter)->weights()}};
    EXPECT_TRUE(same_bits(plain, run(*entry.backend, **model, prompt_, 64, unused)));
    const RunnerOptions off = {.adapters = {(*adapter)->weights()}, .uses = {{0, 0.0F}}};
    EXPECT_TRUE(same_bits(plain, run(*entry.backend, **model, prompt_, 64, off)));
    const RunnerOptions half = {.adapters = {(*adapter)->weights()}, .uses = {{0, 0.5F}}};
    EXPECT_FALSE(same_bits(plain, run(*entry.backend, **model, prompt_, 64, half)));
  }
}

INSTANTIATE_TEST_SUITE_P(Adapters, GoldenAdapter, testing::Values("llama", "qwen2", "phi3"),
                         [](const auto& golden) { return golden.param; });

constexpr int32_t kTokens = 45;  // more than one page

std::vector<int32_t> prompt_of(size_t seed) {
  std::vector<int32_t> tokens(kTokens);
  for (int32_t i = 0; i < kTokens; ++i) {
    tokens[static_cast<size_t>(i)] = (static_cast<int32_t>(seed) * 31 + i * 17) % 320;
  }
  return tokens;
}

// Architecture, format of the model's matrices, format of the adapters, their rank.
using MixedCase = std::tuple<std::string, FormatId, FormatId, uint64_t>;

class MixedAdapters : public testing::TestWithParam<MixedCase> {
 protected:
  void load(backend::Backend& backend) {
    const auto& [architecture, format, adapter_format, rank] = GetParam();
    tests_support::TinyModelOptions options = tests_support::tiny_options_for(format);
    options.architecture = architecture;
    options.optional_tensors = true;
    options.tied_output = false;
    const auto model = tests_support::tiny_model(options, backend);
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
    tests_support::TinyAdapterOptions first = {.rank = rank, .format = adapter_format};
    // The second leaves some matrices as they are and has a rank of its own.
    tests_support::TinyAdapterOptions second = {.rank = 2 * rank, .alpha = 3, .seed = 2};
    second.wanted = [](std::string_view name) {
      return name.find("attn_v") != std::string_view::npos ||
             name.find("ffn_gate") != std::string_view::npos ||
             name.find("attn_qkv") != std::string_view::npos;
    };
    adapters_.clear();
    for (const auto& one : {first, second}) {
      const auto adapter = tests_support::tiny_adapter(*model_, one, backend);
      ASSERT_TRUE(adapter.ok()) << adapter.error().message();
      adapters_.push_back((*adapter)->weights());
    }
  }

  static constexpr size_t kBothAdapters = 3;
  // Nothing, the first, the second, both, the first again at another strength.
  static std::vector<std::vector<ops::AdapterUse>> uses() {
    return {{}, {{0, 1.0F}}, {{1, 1.0F}}, {{0, 0.75F}, {1, -1.5F}}, {{0, 0.5F}}};
  }

  std::vector<float> alone(backend::Backend& backend, size_t s, int32_t chunk) const {
    const RunnerOptions options = {
        .kv_format = ops::KvFormat::kF16, .adapters = adapters_, .uses = uses()[s]};
    return run(backend, *model_, prompt_of(s / 2), chunk, options);
  }

  std::shared_ptr<const loader::Model> model_;
  std::vector<std::shared_ptr<const graph::AdapterWeights>> adapters_;
};

TEST_P(MixedAdapters, BitsDependNeitherOnChunksNorOnTheInstructionSet) {
  std::vector<std::vector<float>> first(uses().size());
  for (const tests_support::NamedBackend& entry : tests_support::test_backends()) {
    if (!entry.reproducible) continue;
    SCOPED_TRACE(entry.name);
    load(*entry.backend);
    for (size_t s = 0; s < uses().size(); ++s) {
      // Both adapters at once stand for all; token by token takes longest.
      for (const int32_t chunk : {64, 7, 1}) {
        if (chunk != 64 && s != kBothAdapters) continue;
        const std::vector<float> logits = alone(*entry.backend, s, chunk);
        if (first[s].empty()) first[s] = logits;
        EXPECT_TRUE(same_bits(logits, first[s])) << "sequence " << s << " chunk " << chunk;
      }
    }
  }
  // Sequences 0 and 1 have one prompt, as have 2 and 3.
  EXPECT_FALSE(same_bits(first[0], first[1]));
  EXPECT_FALSE(same_bits(first[2], first[3]));
}

// Sequences without adapters, with one of two and with both, of different lengths in shared steps,
// only some tokens wanting logits.
TEST_P(MixedAdapters, BitsDoNotDependOnNeighbours) {
  const auto backends = tests_support::test_backends();
  backend::Backend& backend = *backends.back().backend;
  load(backend);
  const auto n_vocab = static_cast<size_t>(model_->facts().n_vocab);
  const auto all_uses = uses();
  const size_t n_sequences = all_uses.size();
  auto cache = graph::KvStorage::create(backend, *model_->weights(), ops::KvFormat::kF16,
                                        static_cast<int32_t>(2 * n_sequences));
  auto forward = graph::ForwardPass::create(backend, model_->weights(), 64,
                                            static_cast<int32_t>(n_sequences), adapters_);
  ASSERT_TRUE(cache.ok() && forward.ok());
  const int32_t strides[] = {1, 4, 1, 9, 1};
  std::vector<std::vector<int32_t>> pages;
  std::vector<std::vector<float>> expected;
  for (size_t s = 0; s < n_sequences; ++s) {
    pages.push_back({static_cast<int32_t>(2 * s + 1), static_cast<int32_t>(2 * s)});
    expected.push_back(alone(backend, s, 64));
  }
  std::vector<int32_t> positions(n_sequences);
  while (positions[0] < kTokens) {
    std::vector<int32_t> tokens;
    std::vector<int32_t> outputs;
    std::vector<size_t> output_sequences;
    std::vector<ops::SequenceSlice> slices;
    for (size_t s = 0; s < n_sequences; ++s) {
      const int32_t n = std::min(strides[s], kTokens - positions[s]);
      if (n == 0) continue;
      const std::vector<int32_t> prompt = prompt_of(s / 2);
      slices.push_back({.first_token = static_cast<int32_t>(tokens.size()),
                        .n_tokens = n,
                        .first_position = positions[s],
                        .pages = pages[s],
                        .adapters = all_uses[s]});
      tokens.insert(tokens.end(), prompt.begin() + positions[s], prompt.begin() + positions[s] + n);
      positions[s] += n;
      // The fourth sequence wants logits only at its end, as a prompt in chunks does.
      if (s == 3 && positions[s] < kTokens) continue;
      outputs.push_back(static_cast<int32_t>(tokens.size()) - 1);
      output_sequences.push_back(s);
    }
    std::vector<float> logits(outputs.size() * n_vocab);
    ASSERT_TRUE(
        (*forward)
            ->run({.tokens = tokens, .sequences = slices, .outputs = outputs}, **cache, logits)
            .ok());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const size_t s = output_sequences[i];
      const auto at = static_cast<size_t>(positions[s] - 1) * n_vocab;
      EXPECT_TRUE(same_bits(std::span(logits).subspan(i * n_vocab, n_vocab),
                            std::span(expected[s]).subspan(at, n_vocab)))
          << "sequence " << s << " position " << positions[s] - 1;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MixedAdapters,
                         testing::Values(MixedCase("llama", FormatId::kF16, FormatId::kF16, 3),
                                         MixedCase("llama", FormatId::kQ4_K, FormatId::kF32, 16),
                                         MixedCase("qwen2", FormatId::kQ8_0, FormatId::kQ8_0, 32),
                                         MixedCase("gemma2", FormatId::kQ4_0, FormatId::kBF16, 5),
                                         MixedCase("phi3", FormatId::kF32, FormatId::kF32, 1),
                                         MixedCase("qwen3moe", FormatId::kQ8_0, FormatId::kF16, 8)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" +
                                  std::string(formats::format_info(std::get<1>(test.param)).name) +
                                  "_" +
                                  std::string(formats::format_info(std::get<2>(test.param)).name);
                         });

}  // namespace
}  // namespace quern
