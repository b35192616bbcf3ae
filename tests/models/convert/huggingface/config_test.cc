// config.json as keys, and everything in it that cannot be said in a file.
#include "models/convert/huggingface/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/convert/huggingface/quantization.h"
#include "tests/models/convert/huggingface/model_folder.h"

namespace quern::huggingface {
namespace {

using ::testing::HasSubstr;

Json config_of(const std::string& model) {
  return testing::json_of(testing::golden_folder() / "models" / model / "config.json");
}

// As it would be in a file, where whole numbers that are not negative have no sign.
Json as_read(const Json& config) { return *parse_json(dump_json(config)); }

std::string error_of(const Json& config) {
  gguf::Metadata metadata;
  const auto read = read_config(as_read(config), metadata);
  return read.ok() ? "accepted" : read.error().message();
}

template <typename Change>
std::string error_with(const std::string& model, Change change) {
  Json config = config_of(model);
  change(config);
  return error_of(config);
}

gguf::Metadata keys_of(const Json& config) {
  gguf::Metadata metadata;
  const auto read = read_config(as_read(config), metadata);
  EXPECT_TRUE(read.ok()) << read.error().message();
  return metadata;
}

TEST(Config, OldAndNewSpellingOfTheRotaryEmbeddingMeanTheSame) {
  Json old = config_of("llama_yarn");
  const Json rope = old["rope_parameters"];
  old.erase("rope_parameters");
  old["rope_theta"] = rope["rope_theta"];
  old["rope_scaling"] = rope;
  old["rope_scaling"].erase("rope_theta");
  old["rope_scaling"].erase("rope_type");
  old["rope_scaling"]["type"] = "yarn";
  EXPECT_EQ(keys_of(old).entries(), keys_of(config_of("llama_yarn")).entries());
}

TEST(Config, WhatIsSilentIsAsInTheClass) {
  Json config = config_of("mistral");
  config.erase("sliding_window");
  config.erase("rope_parameters");
  const gguf::Metadata keys = keys_of(config);
  EXPECT_EQ(*keys.get_uint("llama.attention.sliding_window"), 4096u);
  EXPECT_EQ(*keys.get_float("llama.rope.freq_base"), 10000.0);
  config["sliding_window"] = nullptr;
  EXPECT_FALSE(keys_of(config).contains("llama.attention.sliding_window"));
  // The class Llama never looks at it.
  Json llama = config_of("llama");
  llama["sliding_window"] = 64;
  EXPECT_FALSE(keys_of(llama).contains("llama.attention.sliding_window"));
}

TEST(Config, AttentionScaleOnlyWhereItIsNotTheUsual) {
  EXPECT_TRUE(keys_of(config_of("gemma2")).contains("gemma2.attention.scale"));
  Json config = config_of("gemma2");
  config["query_pre_attn_scalar"] = config["head_dim"];
  EXPECT_FALSE(keys_of(config).contains("gemma2.attention.scale"));
}

TEST(Config, UnknownClassesAreNamedBesideTheKnown) {
  const std::string message =
      error_with("llama", [](Json& c) { c["architectures"] = {"NoSuchForCausalLM"}; });
  EXPECT_THAT(message, HasSubstr("'NoSuchForCausalLM' cannot be converted"));
  EXPECT_THAT(message, HasSubstr("LlamaForCausalLM, MistralForCausalLM"));
  EXPECT_THAT(message, HasSubstr("Phi3ForCausalLM"));
  EXPECT_EQ(error_with("llama", [](Json& c) { c.erase("architectures"); }), "accepted");
  EXPECT_THAT(error_with("llama",
                         [](Json& c) {
                           c.erase("architectures");
                           c["model_type"] = "t5";
                         }),
              HasSubstr("'t5' cannot be converted"));
}

TEST(Config, WhatNoArchitectureComputesIsRefused) {
  const auto with = [](const char* model, const char* key, const Json& value) {
    return error_with(model, [&](Json& c) { c[key] = value; });
  };
  EXPECT_THAT(with("llama", "hidden_act", "relu"), HasSubstr("'hidden_act' is 'relu'"));
  EXPECT_THAT(with("gemma2", "hidden_activation", "silu"), HasSubstr("'hidden_activation'"));
  EXPECT_THAT(with("gemma2", "attn_logit_softcapping", nullptr), HasSubstr("is off"));
  EXPECT_THAT(with("gemma2", "sliding_window", nullptr), HasSubstr("'sliding_window' is off"));
  EXPECT_THAT(with("gemma2", "use_bidirectional_attention", true), HasSubstr("bidirectional"));
  EXPECT_THAT(with("gemma2", "layer_types", {"full_attention", "full_attention"}),
              HasSubstr("layer 0"));
  EXPECT_THAT(with("qwen2", "layer_types", {"full_attention", "sliding_attention"}),
              HasSubstr("layer 1"));
  EXPECT_THAT(with("qwen2moe", "norm_topk_prob", true), HasSubstr("'norm_topk_prob' is true"));
  EXPECT_THAT(with("qwen3moe", "norm_topk_prob", false), HasSubstr("'norm_topk_prob' is false"));
  EXPECT_THAT(with("qwen3moe", "decoder_sparse_step", 2), HasSubstr("no experts"));
  EXPECT_THAT(with("qwen3moe", "mlp_only_layers", {1}), HasSubstr("no experts"));
  EXPECT_THAT(with("qwen2", "attn_logit_softcapping", 3.0), HasSubstr("is set"));
  EXPECT_THAT(error_with("qwen2",
                         [](Json& c) {
                           c.erase("layer_types");
                           c["use_sliding_window"] = true;
                           c["max_window_layers"] = 1;
                         }),
              HasSubstr("'use_sliding_window' is true"));
}

TEST(Config, DamagedValuesAreRefused) {
  const auto with = [](const char* key, const Json& value) {
    return error_with("llama", [&](Json& c) { c[key] = value; });
  };
  EXPECT_THAT(error_with("llama", [](Json& c) { c.erase("hidden_size"); }),
              HasSubstr("'hidden_size' is missing"));
  EXPECT_THAT(with("hidden_size", -1), HasSubstr("is not a whole number"));
  EXPECT_THAT(with("hidden_size", "16"), HasSubstr("is not a whole number"));
  EXPECT_THAT(with("num_hidden_layers", 1e300), HasSubstr("is not a whole number"));
  EXPECT_THAT(with("vocab_size", uint64_t{1} << 40), HasSubstr("out of range"));
  EXPECT_THAT(with("num_attention_heads", 0), HasSubstr("'num_attention_heads' is 0"));
  EXPECT_THAT(with("rms_norm_eps", "x"), HasSubstr("is not a number"));
  EXPECT_THAT(with("architectures", "LlamaForCausalLM"), HasSubstr("no list of names"));
  EXPECT_THAT(error_of(Json::array()), HasSubstr("cannot be converted"));
}

TEST(Config, RotaryEmbeddings) {
  const auto with = [](const char* model, const char* key, const Json& value) {
    return error_with(model, [&](Json& c) { c["rope_parameters"][key] = value; });
  };
  EXPECT_THAT(with("llama", "rope_type", "dynamic"), HasSubstr("'dynamic'"));
  EXPECT_THAT(with("llama", "factor", nullptr), HasSubstr("positive 'factor'"));
  EXPECT_THAT(with("llama", "factor", 0), HasSubstr("positive 'factor'"));
  EXPECT_THAT(with("llama", "high_freq_factor", 0.5), HasSubstr("not above low_freq_factor"));
  EXPECT_THAT(with("llama_yarn", "truncate", false), HasSubstr("does not truncate"));
  EXPECT_THAT(with("phi3", "long_factor", {1.0}), HasSubstr("a list of 2 numbers"));
  EXPECT_THAT(with("phi3", "short_factor", {1.0, -1.0}), HasSubstr("no positive number"));
  EXPECT_THAT(with("phi3", "partial_rotary_factor", 1.5), HasSubstr("partial_rotary_factor"));
}

TEST(QuantizationConfig, UnknownMethodsAreRefusedByName) {
  const auto error = [](const char* text) {
    const Json config = {{"quantization_config", *parse_json(text)}};
    const auto read = read_quantization(config);
    return read.ok() ? std::string("accepted") : read.error().message();
  };
  EXPECT_THAT(error(R"({"quant_method": "aqlm"})"), HasSubstr("quantized by aqlm"));
  EXPECT_THAT(error(R"({"bits": 4})"), HasSubstr("a method that it does not name"));
  EXPECT_THAT(error(R"({"quant_method": "gptq", "bits": 3})"), HasSubstr("gptq with 3 bits"));
  EXPECT_THAT(error(R"({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"})"),
              HasSubstr("format marlin"));
  EXPECT_THAT(error(R"({"quant_method": "gptq", "bits": 4, "group_size": 0})"),
              HasSubstr("'group_size'"));
  EXPECT_THAT(error(R"({"quant_method": "awq", "bits": 8})"), HasSubstr("awq with 8 bits"));
  EXPECT_THAT(error(R"({"quant_method": "awq", "version": "gemv"})"), HasSubstr("version gemv"));
  EXPECT_THAT(error(R"({"quant_method": "awq", "zero_point": false})"),
              HasSubstr("without zero points"));
  EXPECT_THAT(error(R"({"quant_method": "fp8", "weight_block_size": [0, 128]})"),
              HasSubstr("'weight_block_size'"));
  EXPECT_THAT(error(R"({"quant_method": "compressed-tensors", "format": "pack-quantized"})"),
              HasSubstr("pack-quantized"));
  EXPECT_EQ(error(R"({"quant_method": "compressed-tensors", "format": "float-quantized"})"),
            "accepted");
  EXPECT_EQ(error(R"({"quant_method": "gptq", "bits": 4, "group_size": -1})"), "accepted");
  EXPECT_EQ(error(R"({"load_in_8bit": true})"), "accepted");
}

}  // namespace
}  // namespace quern::huggingface
