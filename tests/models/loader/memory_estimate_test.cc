// Memory estimates against what is really allocated; speed estimates against their formula's
// limits.
#include "models/loader/memory_estimate.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>

#include "models/graph/weights.h"
#include "models/loader/speed_estimate.h"
#include "tests/support/plain_backend.h"
#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace quern::loader {
namespace {

using tests_support::TinyModelOptions;

class MemoryEstimateTest : public ::testing::Test {
 protected:
  void load(const TinyModelOptions& options) {
    auto file = tests_support::tiny_model_file(options);
    ASSERT_TRUE(file.ok()) << file.error().message();
    auto size = model_size(**file);
    ASSERT_TRUE(size.ok()) << size.error().message();
    size_ = *size;
    auto model = Model::load(*file, *backend_);
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
  }

  std::unique_ptr<backend::Backend> backend_ = tests_support::create_plain_backend();
  ModelSize size_;
  std::shared_ptr<const Model> model_;
};

TEST_F(MemoryEstimateTest, CountsEveryTensorThatIsUsed) {
  TinyModelOptions options = tests_support::tiny_options_for(formats::FormatId::kQ4_K);
  options.tied_output = false;
  load(options);
  uint64_t bytes = 0;
  uint64_t per_token = 0;
  for (const gguf::TensorInfo& tensor : model_->file().tensors()) {
    bytes += tensor.data.size();
    if (tensor.n_dims == 2 && tensor.name != "token_embd.weight") per_token += tensor.data.size();
  }
  EXPECT_EQ(size_.weight_bytes, bytes);
  EXPECT_EQ(size_.work.bytes(1), static_cast<double>(per_token));
  EXPECT_EQ(size_.work.bytes(1), size_.work.bytes(16));
}

// A token reads its own experts; more tokens read more of them, at most all.
TEST_F(MemoryEstimateTest, CountsTheExpertsThatAStepReads) {
  TinyModelOptions options = tests_support::tiny_options_for(formats::FormatId::kQ4_K);
  options.n_experts = 8;
  for (const bool split : {false, true}) {
    options.split_experts = split;
    load(options);
    uint64_t dense = 0;
    uint64_t experts = 0;
    for (const gguf::TensorInfo& tensor : model_->file().tensors()) {
      const bool of_expert = tensor.name.find(".ffn_") != std::string::npos &&
                             tensor.name.find(".ffn_gate_inp") == std::string::npos &&
                             tensor.name.find(".ffn_norm") == std::string::npos;
      if (tensor.n_dims >= 2) (of_expert ? experts : dense) += tensor.data.size();
    }
    EXPECT_EQ(size_.work.expert_bytes, experts);
    EXPECT_DOUBLE_EQ(size_.work.bytes(1), static_cast<double>(dense + experts / 4));
    EXPECT_DOUBLE_EQ(size_.work.bytes(2),
                     static_cast<double>(dense) + static_cast<double>(experts) * 7 / 16);
    EXPECT_NEAR(size_.work.bytes(500), static_cast<double>(dense + experts), 1);
    // 3 matrices of each of 2 experts in each of 2 layers.
    const auto width = static_cast<double>(options.n_feed_forward * options.n_embedding);
    EXPECT_DOUBLE_EQ(size_.work.token_layer_values() - static_cast<double>(size_.work.layer_values),
                     2 * 2 * 3 * width);
  }
}

TEST_F(MemoryEstimateTest, EmbeddingCountsAsOutputWhereItIsTied) {
  TinyModelOptions options;
  options.tied_output = true;
  load(options);
  EXPECT_EQ(size_.work.output_bytes, model_->file().find_tensor("token_embd.weight")->data.size());
}

TEST_F(MemoryEstimateTest, KeysAndValuesMatchTheStorage) {
  load({});
  for (const ops::KvFormat format : {ops::KvFormat::kF32, ops::KvFormat::kF16}) {
    const auto estimate = estimate_memory(
        size_, {.context_tokens = 100, .sequences = 3, .max_step_tokens = 64, .kv_format = format});
    ASSERT_TRUE(estimate.ok());
    // 100 tokens are 4 pages of 32.
    EXPECT_EQ(estimate->kv, 12 * graph::KvStorage::bytes_per_page(*model_->weights(), format));
    EXPECT_EQ(estimate->total(), estimate->weights + estimate->kv + estimate->scratch);
  }
}

TEST_F(MemoryEstimateTest, ScratchMatchesTheForwardPass) {
  const std::pair<const char*, int64_t> models[] = {{"llama", 0}, {"qwen2", 0},    {"gemma2", 0},
                                                    {"llama", 6}, {"qwen2moe", 9}, {"qwen3moe", 5}};
  for (const auto& [architecture, n_experts] : models) {
    TinyModelOptions options;
    options.architecture = architecture;
    options.n_experts = n_experts;
    load(options);
    for (const auto& [tokens, outputs] : {std::pair{1, 1}, {7, 0}, {64, 16}, {256, 1}}) {
      const auto forward =
          graph::ForwardPass::create(*backend_, model_->weights(), tokens, outputs);
      ASSERT_TRUE(forward.ok());
      EXPECT_EQ(forward_scratch_bytes(size_.hyper, tokens, outputs), (*forward)->scratch_bytes())
          << architecture << ' ' << tokens << ' ' << outputs;
    }
  }
}

TEST_F(MemoryEstimateTest, ScratchOfAdaptersIsThatOfThePass) {
  tests_support::TinyModelOptions options;
  options.tied_output = false;
  load(options);
  for (const bool output : {true, false}) {
    tests_support::TinyAdapterOptions how;
    how.rank = 5;
    how.wanted = [&](std::string_view name) { return output || name != "output.weight"; };
    const auto adapter = tests_support::tiny_adapter(*model_, how, *backend_);
    ASSERT_TRUE(adapter.ok()) << adapter.error().message();
    for (const auto& [tokens, outputs] : {std::pair{1, 1}, {7, 0}, {64, 16}, {256, 1}}) {
      const auto forward = graph::ForwardPass::create(*backend_, model_->weights(), tokens, outputs,
                                                      {(*adapter)->weights()});
      ASSERT_TRUE(forward.ok());
      const std::array facts = {(*adapter)->facts()};
      EXPECT_EQ(forward_scratch_bytes(size_.hyper, tokens, outputs) +
                    adapter_scratch_bytes(facts, tokens, outputs),
                (*forward)->scratch_bytes())
          << output << ' ' << tokens << ' ' << outputs;
    }
  }
}

TEST_F(MemoryEstimateTest, RefusesWhatNoMachineHas) {
  load({});
  const auto estimate = estimate_memory(size_, {.context_tokens = INT64_MAX / 2, .sequences = 256});
  ASSERT_FALSE(estimate.ok());
  EXPECT_EQ(estimate.error().kind(), ErrorKind::kOutOfMemory);
}

hardware::Measured machine() {
  hardware::Measured measured;
  measured.mapped_read_bandwidth_gbs = 30;
  measured.int8_tops = 1.3;
  measured.f32_tflops = 0.3;
  return measured;
}

// The shape and the ceilings of a 1.1B model in Q4_K_M on a 2-core machine.
TokenWork work() {
  TokenWork out;
  out.layer_bytes = 560'000'000;
  out.output_bytes = 54'000'000;
  out.layer_values = 969'000'000;
  out.output_values = 65'500'000;
  out.attention_width = 22 * 2048;
  out.kv_bytes = 22 * 1024;
  return out;
}

TEST(SpeedEstimate, OneSequenceIsLimitedByReading) {
  const SpeedEstimate speed = estimate_decode(work(), machine(), 1, 0);
  EXPECT_NEAR(speed.ceiling, 30e9 / 614e6, 0.1);
  EXPECT_LT(speed.predicted, speed.ceiling);
  EXPECT_LT(estimate_decode(work(), machine(), 1, 4096).ceiling, speed.ceiling);
}

TEST(SpeedEstimate, ManySequencesAreLimitedByMultiplying) {
  const SpeedEstimate speed = estimate_decode(work(), machine(), 64, 0);
  EXPECT_NEAR(speed.ceiling, 1.3e12 / (2 * 1.0345e9), 1);
}

// Tiles take blocks of 16 tokens, and change no ceiling that is shown.
TEST(SpeedEstimate, TilesHelpStepsOfManyTokens) {
  hardware::Measured tiles = machine();
  tiles.int8_tile_tops = 12;
  for (const int batch : {1, 15}) {
    EXPECT_EQ(estimate_decode(work(), tiles, batch, 100).predicted,
              estimate_decode(work(), machine(), batch, 100).predicted);
  }
  const SpeedEstimate with = estimate_decode(work(), tiles, 16, 100);
  const SpeedEstimate without = estimate_decode(work(), machine(), 16, 100);
  EXPECT_GT(with.predicted, 1.2 * without.predicted);
  EXPECT_EQ(with.ceiling, without.ceiling);
  EXPECT_GT(estimate_prefill(work(), tiles, 512, 0).predicted,
            1.2 * estimate_prefill(work(), machine(), 512, 0).predicted);
}

// 8 experts of which 2 are used: the same bytes and products for one token as a dense model with
// two of them, and more bytes for two tokens.
TEST(SpeedEstimate, OneTokenReadsOnlyItsExperts) {
  TokenWork mixture = work();
  mixture.layer_bytes -= 400'000'000;
  mixture.layer_values -= 700'000'000;
  mixture.expert_bytes = 4 * 400'000'000ULL;
  mixture.expert_values = 4 * 700'000'000ULL;
  mixture.n_experts = 8;
  mixture.n_experts_used = 2;
  EXPECT_NEAR(estimate_decode(mixture, machine(), 1, 0).ceiling,
              estimate_decode(work(), machine(), 1, 0).ceiling, 1e-6);
  EXPECT_LT(estimate_decode(mixture, machine(), 2, 0).ceiling,
            estimate_decode(work(), machine(), 2, 0).ceiling);
  EXPECT_NEAR(estimate_decode(mixture, machine(), 256, 0).ceiling,
              estimate_decode(work(), machine(), 256, 0).ceiling, 1e-6);
}

TEST(SpeedEstimate, PrefillGetsSlowerWithDepth) {
  const double at_0 = estimate_prefill(work(), machine(), 512, 0).ceiling;
  const double at_4096 = estimate_prefill(work(), machine(), 512, 4096).ceiling;
  EXPECT_GT(at_0, at_4096);
  EXPECT_LT(at_0, 1.3e12 / (2 * 969e6));
}

TEST(SpeedEstimate, NothingIsPredictedWithoutCeilings) {
  EXPECT_EQ(estimate_decode(work(), {}, 1, 0).predicted, 0);
  EXPECT_EQ(estimate_prefill(work(), {}, 512, 0).predicted, 0);
}

}  // namespace
}  // namespace quern::loader
