// Random models: loadable in every format, the same bytes from the same seed, formats by recipe.
#include "models/convert/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "models/graph/weights.h"
#include "models/loader/model.h"
#include "tests/support/plain_backend.h"
#include "tests/support/tiny_model.h"

namespace quern::convert {
namespace {

using ::testing::HasSubstr;

SynthOptions tiny(const std::string& format) {
  SynthOptions options;
  options.shape = "tiny";
  options.format = format;
  return options;
}

std::shared_ptr<const gguf::GgufFile> open(const SynthOptions& options) {
  auto bytes = synthetic_model_bytes(options);
  EXPECT_TRUE(bytes.ok()) << bytes.error().message();
  if (!bytes.ok()) return nullptr;
  auto file = tests_support::open_owned(std::move(bytes).value(), options.format);
  EXPECT_TRUE(file.ok()) << file.error().message();
  return file.ok() ? *file : nullptr;
}

TEST(Synth, SameSeedSameBytesWhateverTheThreads) {
  SynthOptions options = tiny("Q4_K_M");
  const auto one = synthetic_model_bytes(options);
  options.threads = 3;
  const auto three = synthetic_model_bytes(options);
  options.seed = 2;
  const auto other = synthetic_model_bytes(options);
  ASSERT_TRUE(one.ok() && three.ok() && other.ok());
  EXPECT_TRUE(*one == *three);
  EXPECT_FALSE(*one == *other);
  EXPECT_EQ(one->size(), other->size());
}

// Every matrix of every format: finite values of believable size, and no two rows alike.
TEST(Synth, EveryFormatHoldsBelievableWeights) {
  for (const formats::FormatInfo& format : formats::all_formats()) {
    if (format.decode_row == nullptr) continue;
    SCOPED_TRACE(format.name);
    SynthOptions options = tiny(std::string(format.name));
    options.pure = true;
    const auto file = open(options);
    ASSERT_NE(file, nullptr);
    const gguf::TensorInfo* matrix = file->find_tensor("blk.1.ffn_down.weight");
    ASSERT_NE(matrix, nullptr);
    EXPECT_EQ(matrix->format, format.id);
    std::vector<float> values(matrix->n_values());
    format.decode_row(matrix->data.data(), values.data(), static_cast<int64_t>(values.size()));
    double squares = 0;
    for (const float value : values) {
      ASSERT_TRUE(std::isfinite(value));
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    const double deviation = std::sqrt(squares / static_cast<double>(values.size()));
    EXPECT_GT(deviation, 0.004);
    EXPECT_LT(deviation, 0.1);
    const size_t row = matrix->dims[0];
    EXPECT_FALSE(std::equal(values.begin(), values.begin() + static_cast<ptrdiff_t>(row),
                            values.begin() + static_cast<ptrdiff_t>(row)));
  }
}

TEST(Synth, LoadsInEveryRecipeUnderItsName) {
  const auto backend = tests_support::create_plain_backend();
  for (const char* name :
       {"F32",    "F16",    "BF16",    "Q4_0",   "Q4_1",   "Q5_0",   "Q5_1",    "Q8_0",
        "Q2_K",   "Q2_K_S", "Q3_K_S",  "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M",  "Q5_K_S",
        "Q5_K_M", "Q6_K",   "IQ2_XXS", "IQ2_XS", "IQ2_S",  "IQ2_M",  "IQ3_XXS", "IQ3_XS",
        "IQ3_S",  "IQ3_M",  "IQ1_S",   "IQ1_M",  "IQ4_NL", "IQ4_XS", "TQ1_0",   "TQ2_0"}) {
    SCOPED_TRACE(name);
    const auto file = open(tiny(name));
    ASSERT_NE(file, nullptr);
    const auto model = loader::Model::load(file, *backend);
    ASSERT_TRUE(model.ok()) << model.error().message();
    EXPECT_EQ((*model)->facts().recipe, name);
    EXPECT_TRUE((*model)->facts().unused_tensors.empty());
    EXPECT_EQ((*model)->facts().n_vocab, 512);
    EXPECT_TRUE((*model)->tokenizer().encode("hello world", tokenizer::SpecialParsing::kText).ok());
  }
}

// Stacks of experts are written as other programs expect them.
TEST(Synth, WritesMixturesOfExperts) {
  SynthOptions options = tiny("Q4_K_M");
  options.shape = "tiny-moe";
  const auto file = open(options);
  ASSERT_NE(file, nullptr);
  const gguf::TensorInfo* stack = file->find_tensor("blk.1.ffn_down_exps.weight");
  ASSERT_NE(stack, nullptr);
  EXPECT_EQ(stack->dims[2], 8U);
  const gguf::TensorInfo* router = file->find_tensor("blk.1.ffn_gate_inp.weight");
  ASSERT_NE(router, nullptr);
  EXPECT_EQ(router->format, formats::FormatId::kF32);
  EXPECT_EQ(file->find_tensor("blk.1.ffn_down.weight"), nullptr);
  const auto backend = tests_support::create_plain_backend();
  const auto model = loader::Model::load(file, *backend);
  ASSERT_TRUE(model.ok()) << model.error().message();
  EXPECT_TRUE((*model)->facts().unused_tensors.empty());
  EXPECT_EQ((*model)->weights()->hyper.n_experts, 8);
  EXPECT_EQ((*model)->weights()->hyper.n_experts_used, 2);
}

TEST(Synth, NamesWhatItDoesNotKnow) {
  SynthOptions options = tiny("Q4_K_M");
  options.shape = "giant";
  auto failed = synthetic_model_bytes(options);
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message(), HasSubstr("tinyllama-1.1b"));
  failed = synthetic_model_bytes(tiny("Q9_Z"));
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message(), HasSubstr("Q4_K_M"));
  failed = synthetic_model_bytes(tiny("I32"));
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message(), HasSubstr("stores integers"));
}

}  // namespace
}  // namespace quern::convert
