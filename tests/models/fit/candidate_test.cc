// What is said of a recipe before anything is written is what its file turns out to be.
#include "models/fit/candidate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "config/hardware/cpu_probe.h"
#include "models/convert/quantize.h"
#include "models/convert/synth.h"
#include "tests/engine/store/scratch_directory.h"

namespace quern::fit {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const gguf::GgufFile> open(const std::filesystem::path& path) {
  auto file = gguf::GgufFile::open(path);
  EXPECT_TRUE(file.ok()) << file.error().message();
  return *file;
}

Terms terms() {
  Terms out;
  out.run = {.context_tokens = 128, .sequences = 2};
  out.machine.read_bandwidth_gbs = 10;
  out.machine.int8_tops = 1;
  out.machine.f32_tflops = 0.1;
  return out;
}

class CandidateTest : public ::testing::Test {
 protected:
  void SetUp() override { write("tiny", "F16", "in.gguf"); }

  void write(const std::string& shape, const std::string& format, const std::string& name) {
    convert::SynthOptions options;
    options.shape = shape;
    options.format = format;
    const auto written = convert::write_synthetic_model(options, folder_.path() / name);
    ASSERT_TRUE(written.ok()) << written.error().message();
    in_ = open(folder_.path() / name);
  }

  convert::QuantizePlan plan(const std::string& recipe) const {
    convert::QuantizeChoices choices;
    choices.recipe = convert::find_recipe(recipe);
    auto made = convert::plan_quantization(*in_, choices);
    EXPECT_TRUE(made.ok()) << made.error().message();
    return std::move(made).value();
  }

  std::shared_ptr<const gguf::GgufFile> quantized(const std::string& recipe) const {
    const auto path = folder_.path() / (recipe + ".gguf");
    const Status written =
        convert::quantize_file(*in_, plan(recipe), {.threads = 2, .isa = isa()}, path);
    EXPECT_TRUE(written.ok()) << written.error().message();
    return open(path);
  }

  static hardware::IsaMask isa() { return hardware::probe_cpu().isa; }

  std::vector<Candidate> candidates(const std::vector<std::string>& names) {
    std::vector<const convert::Recipe*> recipes;
    for (const std::string& name : names) recipes.push_back(convert::find_recipe(name));
    ErrorSampler sampler(in_, isa(), 2);
    auto found = candidates_of_recipes(*in_, recipes, terms(), sampler);
    EXPECT_TRUE(found.ok()) << found.error().message();
    return found.ok() ? *found : std::vector<Candidate>();
  }

  tests::ScratchDirectory folder_;
  std::shared_ptr<const gguf::GgufFile> in_;
};

TEST_F(CandidateTest, APlannedFileIsJudgedLikeTheWrittenOne) {
  for (const std::string recipe : {"Q4_K_M", "IQ3_M", "Q8_0"}) {
    const auto planned = candidates({recipe});
    ASSERT_EQ(planned.size(), 1U);
    const auto file = quantized(recipe);
    const auto written = candidate_of_file(*file, terms());
    ASSERT_TRUE(written.ok()) << written.error().message();
    EXPECT_EQ(planned[0].recipe, written->recipe);
    EXPECT_EQ(planned[0].file_bytes, written->file_bytes);
    EXPECT_EQ(planned[0].n_parameters, written->n_parameters);
    EXPECT_EQ(planned[0].memory.weights, written->memory.weights);
    EXPECT_EQ(planned[0].memory.total(), written->memory.total());
    EXPECT_EQ(planned[0].decode.predicted, written->decode.predicted);
    EXPECT_DOUBLE_EQ(planned[0].bits_per_weight, written->bits_per_weight);
    EXPECT_TRUE(planned[0].planned);
    EXPECT_FALSE(written->planned);
    // The samples that are encoded are the blocks that the file holds.
    ErrorSampler sampler(in_, isa(), 1);
    EXPECT_EQ(planned[0].error, *sampler.of_file(*file));
  }
}

TEST_F(CandidateTest, OfExpertsToo) {
  write("tiny-moe", "F16", "moe.gguf");
  const auto planned = candidates({"Q4_K_M"});
  ASSERT_EQ(planned.size(), 1U);
  const auto written = candidate_of_file(*quantized("Q4_K_M"), terms());
  ASSERT_TRUE(written.ok()) << written.error().message();
  EXPECT_EQ(planned[0].memory.total(), written->memory.total());
  EXPECT_EQ(planned[0].decode.predicted, written->decode.predicted);
}

// A sample stands for all: within a tenth of the error of every weight of the file.
TEST_F(CandidateTest, SampledErrorIsCloseToThatOfAllWeights) {
  for (const std::string recipe : {"Q2_K", "Q4_0", "Q6_K"}) {
    const auto file = quantized(recipe);
    double sum = 0;
    double n_weights = 0;
    for (const gguf::TensorInfo& tensor : in_->tensors()) {
      if (tensor.n_dims < 2) continue;
      const auto n = static_cast<int64_t>(tensor.n_values());
      std::vector<float> before(tensor.n_values());
      std::vector<float> after(tensor.n_values());
      const gguf::TensorInfo* kept = file->find_tensor(tensor.name);
      formats::format_info(tensor.format).decode_row(tensor.data.data(), before.data(), n);
      formats::format_info(kept->format).decode_row(kept->data.data(), after.data(), n);
      double squared = 0;
      double power = 0;
      for (size_t i = 0; i < before.size(); ++i) {
        squared += std::pow(double{before[i]} - double{after[i]}, 2);
        power += double{before[i]} * double{before[i]};
      }
      sum += static_cast<double>(n) * squared / power;
      n_weights += static_cast<double>(n);
    }
    const double error = *candidates({recipe})[0].error;
    EXPECT_NEAR(error, sum / n_weights, 0.1 * sum / n_weights) << recipe;
  }
}

TEST_F(CandidateTest, ErrorsOrderTheRecipes) {
  const auto found = candidates({"Q2_K", "Q8_0", "Q4_K_M", "Q6_K", "Q3_K_M", "Q5_K_M"});
  std::vector<std::string> names;
  for (size_t i = 0; i < found.size(); ++i) {
    names.push_back(found[i].recipe);
    if (i > 0) {
      EXPECT_GT(*found[i].error, *found[i - 1].error) << names.back();
    }
  }
  EXPECT_THAT(names, ::testing::ElementsAre("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"));
}

TEST_F(CandidateTest, WhatMakesNoSmallerOrNoOtherFileIsLeftOut) {
  // Without experts MXFP4_MOE is Q8_0; F16 is what there is, F32 is more.
  const auto found = candidates({"F32", "F16", "Q8_0", "MXFP4_MOE"});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].recipe, "Q8_0");
}

TEST_F(CandidateTest, SequencesMayShareASmallerPool) {
  Terms small = terms();
  small.most_kv_bytes = 1000;
  // 2 layers, keys and values of 2 heads of 64 in f16, 128 tokens: one context that was asked for.
  constexpr uint64_t kOneContext = uint64_t{2} * 2 * 2 * 64 * 2 * 128;
  const auto asked = candidate_of_file(*in_, small);
  ASSERT_TRUE(asked.ok());
  EXPECT_EQ(asked->memory.kv, kOneContext);
  EXPECT_EQ(asked->full_kv_bytes, 2 * kOneContext);
  small.run.context_tokens = 0;
  const auto free = candidate_of_file(*in_, small);
  ASSERT_TRUE(free.ok());
  EXPECT_EQ(free->memory.kv, 1000U);
  EXPECT_EQ(free->full_kv_bytes, 2 * 4 * kOneContext);  // trained with 512
}

TEST_F(CandidateTest, TheReferenceItselfHasNoError) {
  ErrorSampler sampler(in_, isa(), 1);
  EXPECT_EQ(*sampler.of_file(*in_), 0.0);
  EXPECT_TRUE(is_full_precision(*in_));
  EXPECT_FALSE(is_full_precision(*quantized("Q8_0")));
}

TEST_F(CandidateTest, OtherFilesAreRefusedByName) {
  ErrorSampler sampler(in_, isa(), 1);
  const auto first = in_;
  write("tiny-moe", "F16", "moe.gguf");
  const auto error = sampler.of_file(*in_);
  ASSERT_FALSE(error.ok());
  EXPECT_THAT(error.error().message(),
              HasSubstr("moe.gguf: has no matrix 'blk.0.ffn_gate.weight'"));
}

}  // namespace
}  // namespace quern::fit
