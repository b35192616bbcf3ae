// Files of one model are recognised whatever their formats, others told apart by name.
#include "models/fit/same_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/tiny_model.h"

namespace quern::fit {
namespace {

using ::testing::HasSubstr;
using tests_support::TinyModelOptions;

std::string difference(const TinyModelOptions& one, const TinyModelOptions& other) {
  const auto a = tests_support::tiny_model_file(one);
  const auto b = tests_support::tiny_model_file(other);
  EXPECT_TRUE(a.ok() && b.ok());
  const auto found = model_difference(**a, **b);
  EXPECT_EQ(found.has_value(), model_difference(**b, **a).has_value());
  return found.value_or("");
}

TinyModelOptions edited(const std::function<void(gguf::Metadata&)>& edit) {
  TinyModelOptions options;
  options.edit_metadata = edit;
  return options;
}

TEST(SameModel, FormatsAndTemplatesDoNotMatter) {
  TinyModelOptions quantized;
  quantized.format = formats::FormatId::kQ8_0;
  quantized.chat_template = "{{ messages }}";
  quantized.edit_metadata = [](gguf::Metadata& metadata) {
    metadata.set("general.file_type", uint32_t{7});
    metadata.set("general.quantization_version", uint32_t{2});
  };
  EXPECT_EQ(difference({}, quantized), "");
}

TEST(SameModel, WhatTellsModelsApartIsNamed) {
  const auto named = [](const std::string& name) {
    return edited([name](gguf::Metadata& metadata) { metadata.set("general.name", name); });
  };
  EXPECT_EQ(difference(named("a"), named("a")), "");
  EXPECT_THAT(difference(named("a"), named("b")),
              HasSubstr("general.name is 'a' in one and 'b' in the other"));
  TinyModelOptions qwen;
  qwen.architecture = "qwen2";
  EXPECT_THAT(difference({}, qwen), HasSubstr("general.architecture is 'llama' in one"));
  TinyModelOptions longer;
  longer.context_length = 1024;
  EXPECT_THAT(difference({}, longer), HasSubstr("key 'llama.context_length' differs"));
  TinyModelOptions deeper;
  deeper.n_layers = 3;
  EXPECT_THAT(difference({}, deeper), HasSubstr("key 'llama.block_count' differs"));
  TinyModelOptions untied;
  untied.tied_output = false;
  EXPECT_THAT(difference({}, untied), HasSubstr("tensor 'output.weight' is in one only"));
}

TEST(SameModel, OtherTokensAreAnotherModel) {
  const TinyModelOptions other = edited([](gguf::Metadata& metadata) {
    auto tokens = **metadata.find_array<std::string>("tokenizer.ggml.tokens");
    tokens.back() += "x";
    metadata.set("tokenizer.ggml.tokens", tokens);
  });
  EXPECT_THAT(difference({}, other), HasSubstr("tokenizer.ggml.tokens"));
}

}  // namespace
}  // namespace quern::fit
