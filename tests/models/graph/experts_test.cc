// Mixtures of experts through the whole decoder: bits and neighbours beyond batch_test, old files,
// and what is no number.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "config/hardware/profile.h"
#include "kernels/cpu/cpu_backend.h"
#include "models/loader/model.h"
#include "tests/support/sequence_runner.h"
#include "tests/support/tiny_model.h"

namespace quern {
namespace {

using tests_support::TinyModelOptions;

std::unique_ptr<backend::Backend> make_backend(int threads) {
  static const hardware::HardwareProfile profile = hardware::probe_hardware();
  auto made = cpu::create_cpu_backend({.profile = profile, .threads = threads});
  CHECK(made.ok());
  return std::move(made).value();
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::vector<int32_t> prompt_of(int32_t n_tokens) {
  std::vector<int32_t> tokens(static_cast<size_t>(n_tokens));
  for (int32_t i = 0; i < n_tokens; ++i) tokens[static_cast<size_t>(i)] = (31 + i * 17) % 320;
  return tokens;
}

std::vector<float> logits_of(backend::Backend& backend, const loader::Model& model,
                             std::span<const int32_t> prompt, int32_t chunk) {
  std::vector<float> logits;
  auto runner =
      tests_support::SequenceRunner::create(backend, model.weights(), {.max_tokens = 128});
  EXPECT_TRUE(runner.ok());
  EXPECT_TRUE((*runner)->feed(prompt, chunk, logits).ok());
  return logits;
}

TinyModelOptions mixtral(formats::FormatId format) {
  TinyModelOptions options = tests_support::tiny_options_for(format);
  options.n_experts = 8;
  return options;
}

TEST(Experts, BitsDependNeitherOnChunksNorOnThreads) {
  for (const auto format : {formats::FormatId::kQ4_K, formats::FormatId::kF16}) {
    const std::vector<int32_t> prompt = prompt_of(130);
    std::vector<float> first;
    for (const int threads : {1, 2, 3}) {
      const auto backend = make_backend(threads);
      const auto model = tests_support::tiny_model(mixtral(format), *backend);
      ASSERT_TRUE(model.ok()) << model.error().message();
      for (const int32_t chunk : {1, 7, 128}) {
        const std::vector<float> logits = logits_of(*backend, **model, prompt, chunk);
        if (first.empty()) first = logits;
        EXPECT_TRUE(same_bits(logits, first)) << threads << " threads, chunks of " << chunk;
      }
    }
    EXPECT_TRUE(std::all_of(first.begin(), first.end(), [](float x) { return std::isfinite(x); }));
  }
}

// A tensor for each expert, as files of before April 2024 have it, is the same model.
TEST(Experts, SplitTensorsGiveTheBitsOfAStack) {
  const auto backend = make_backend(2);
  TinyModelOptions options = mixtral(formats::FormatId::kQ8_0);
  const auto stacked = tests_support::tiny_model(options, *backend);
  options.split_experts = true;
  const auto split = tests_support::tiny_model(options, *backend);
  ASSERT_TRUE(stacked.ok() && split.ok());
  ASSERT_EQ((*split)->file().find_tensor("blk.0.ffn_up_exps.weight"), nullptr);
  const std::vector<int32_t> prompt = prompt_of(20);
  EXPECT_TRUE(same_bits(logits_of(*backend, **split, prompt, 20),
                        logits_of(*backend, **stacked, prompt, 20)));
}

// With every expert used, their order is all that routing decides.
TEST(Experts, AllOfThemMayBeUsed) {
  const auto backend = make_backend(1);
  TinyModelOptions options = mixtral(formats::FormatId::kF32);
  options.n_experts_used = 8;
  const auto model = tests_support::tiny_model(options, *backend);
  ASSERT_TRUE(model.ok()) << model.error().message();
  const std::vector<int32_t> prompt = prompt_of(9);
  EXPECT_TRUE(
      same_bits(logits_of(*backend, **model, prompt, 9), logits_of(*backend, **model, prompt, 2)));
}

constexpr int32_t kPoisoned = 77;

// The model of `options` with an embedding of NaN for one token.
std::shared_ptr<const loader::Model> poisoned_model(const TinyModelOptions& options,
                                                    backend::Backend& backend) {
  auto bytes = tests_support::tiny_model_bytes(options);
  CHECK(bytes.ok());
  const auto file = gguf::GgufFile::from_bytes(*bytes, "poisoned");
  CHECK(file.ok());
  const gguf::TensorInfo* table = (*file)->find_tensor("token_embd.weight");
  const auto width = static_cast<size_t>(table->dims[0]) * sizeof(float);
  const auto offset = static_cast<size_t>(table->data.data() - bytes->data()) + kPoisoned * width;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (size_t i = 0; i < width; i += sizeof(nan)) {
    std::memcpy(bytes->data() + offset + i, &nan, sizeof(nan));
  }
  auto owned = tests_support::open_owned(std::move(*bytes), "poisoned");
  CHECK(owned.ok());
  auto model = loader::Model::load(*owned, backend);
  CHECK(model.ok());
  return *model;
}

// Router logits of NaN: that sequence has no finite logit, its neighbours keep their bits.
TEST(Experts, NanStaysInItsSequence) {
  const auto backend = make_backend(2);
  const auto model = poisoned_model(mixtral(formats::FormatId::kF32), *backend);
  const std::vector<std::vector<int32_t>> prompts = {{5, 6, 7}, {8, kPoisoned, 9}, {10, 11, 12}};
  auto cache = graph::KvStorage::create(*backend, *model->weights(), ops::KvFormat::kF16, 3);
  auto forward = graph::ForwardPass::create(*backend, model->weights(), 9, 3);
  ASSERT_TRUE(cache.ok() && forward.ok());
  const std::vector<std::vector<int32_t>> pages = {{2}, {0}, {1}};
  std::vector<int32_t> tokens;
  std::vector<ops::SequenceSlice> slices;
  for (size_t s = 0; s < 3; ++s) {
    slices.push_back({static_cast<int32_t>(3 * s), 3, 0, pages[s]});
    tokens.insert(tokens.end(), prompts[s].begin(), prompts[s].end());
  }
  const std::vector<int32_t> outputs = {2, 5, 8};
  const auto n_vocab = static_cast<size_t>(model->facts().n_vocab);
  std::vector<float> logits(3 * n_vocab);
  ASSERT_TRUE(
      (*forward)
          ->run({.tokens = tokens, .sequences = slices, .outputs = outputs}, **cache, logits)
          .ok());
  for (size_t s = 0; s < 3; ++s) {
    const auto own = std::span(logits).subspan(s * n_vocab, n_vocab);
    if (s == 1) {
      EXPECT_TRUE(std::none_of(own.begin(), own.end(), [](float x) { return std::isfinite(x); }));
      continue;
    }
    auto runner = tests_support::SequenceRunner::create(*backend, model->weights(),
                                                        {.kv_format = ops::KvFormat::kF16});
    ASSERT_TRUE(runner.ok());
    const auto alone = (*runner)->feed_for_last(prompts[s]);
    ASSERT_TRUE(alone.ok());
    EXPECT_TRUE(same_bits(own, *alone)) << s;
  }
}

}  // namespace
}  // namespace quern
