// Reading of hyper-parameters: derived values, and every bad value named with key and range.
#include "models/arch/hyper_params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "models/arch/arch_spec.h"

namespace quern::arch {
namespace {

using testing::HasSubstr;

constexpr int64_t kTokens = 100;

gguf::Metadata sane_metadata(std::string_view architecture) {
  gguf::Metadata metadata;
  const std::string prefix = std::string(architecture) + ".";
  metadata.set(prefix + "block_count", uint32_t{3});
  metadata.set(prefix + "context_length", uint32_t{2048});
  metadata.set(prefix + "embedding_length", uint32_t{64});
  metadata.set(prefix + "feed_forward_length", uint32_t{96});
  metadata.set(prefix + "attention.head_count", uint32_t{4});
  metadata.set(prefix + "attention.head_count_kv", uint32_t{2});
  metadata.set(prefix + "attention.layer_norm_rms_epsilon", 1e-5F);
  for (const HyperParamRow& row : find_arch(architecture)->hyper_params) {
    if (row.key != "expert_count" || row.presence != Presence::kRequired) continue;
    metadata.set(prefix + "expert_count", uint32_t{8});
    metadata.set(prefix + "expert_used_count", uint32_t{2});
  }
  return metadata;
}

Result<HyperParams> read(const gguf::Metadata& metadata, std::string_view architecture = "llama") {
  return read_hyper_params(*find_arch(architecture), metadata, kTokens);
}

TEST(ArchList, NamesAreUniqueAndTablesAreSound) {
  std::set<std::string_view> names;
  for (const ArchSpec* spec : all_archs()) {
    EXPECT_TRUE(names.insert(spec->name).second) << spec->name;
    EXPECT_EQ(find_arch(spec->name), spec);
    std::set<std::string_view> keys;
    for (const HyperParamRow& row : spec->hyper_params) {
      EXPECT_TRUE(keys.insert(row.key).second) << spec->name << " " << row.key;
      EXPECT_NE(row.integer == nullptr, row.real == nullptr) << row.key;
      EXPECT_LT(row.min, row.max) << row.key;
    }
    // Per-layer arrays are compared with the layer count, so that is read first.
    EXPECT_EQ(spec->hyper_params.front().key, "block_count");
    std::set<std::string_view> patterns;
    std::set<TensorRole> roles;
    for (const TensorRow& row : spec->tensors) {
      EXPECT_TRUE(patterns.insert(row.pattern).second) << row.pattern;
      EXPECT_TRUE(roles.insert(row.role).second) << row.pattern;
    }
    const std::set<TensorRole> base = {TensorRole::kTokenEmbedding, TensorRole::kOutputNorm,
                                       TensorRole::kAttentionNorm, TensorRole::kAttentionOutput,
                                       TensorRole::kFfnNorm};
    for (const TensorRole role : base) EXPECT_TRUE(roles.contains(role)) << role_text(role);
    EXPECT_TRUE(roles.contains(TensorRole::kDown) || roles.contains(TensorRole::kExpertDown));
  }
  EXPECT_EQ(find_arch("nothing"), nullptr);
  EXPECT_THAT(arch_names(), HasSubstr("llama, "));
}

TEST(HyperParams, DerivesWhatIsAbsent) {
  for (const ArchSpec* spec : all_archs()) {
    gguf::Metadata metadata = sane_metadata(spec->name);
    const auto hyper = read(metadata, spec->name);
    ASSERT_TRUE(hyper.ok()) << hyper.error().message();
    EXPECT_EQ(hyper->head_dim, 16);
    EXPECT_EQ(hyper->value_dim, 16);
    EXPECT_EQ(hyper->n_rot, 16);
    EXPECT_EQ(hyper->n_vocab, kTokens);
    EXPECT_EQ(hyper->query_width(), 64);
    EXPECT_EQ(hyper->kv_width(), 32);
    EXPECT_EQ(hyper->rope_base, 10000);
    EXPECT_EQ(hyper->attention_scale, 0.25);
    EXPECT_EQ(hyper->rope_original_context, 2048);
  }
}

TEST(HyperParams, GemmaReadsCapsAndScalesTheLargeModelDifferently) {
  gguf::Metadata metadata = sane_metadata("gemma2");
  metadata.set("gemma2.attention.key_length", uint32_t{32});
  metadata.set("gemma2.attention.value_length", uint32_t{32});
  auto hyper = read(metadata, "gemma2");
  ASSERT_TRUE(hyper.ok());
  EXPECT_EQ(hyper->attention_softcap, 50);
  EXPECT_EQ(hyper->final_softcap, 30);
  EXPECT_EQ(hyper->sliding_window, 4096);
  EXPECT_DOUBLE_EQ(hyper->attention_scale, 1 / std::sqrt(32.0));
  metadata.set("gemma2.block_count", uint32_t{46});
  hyper = read(metadata, "gemma2");
  ASSERT_TRUE(hyper.ok());
  EXPECT_DOUBLE_EQ(hyper->attention_scale, 1 / std::sqrt(16.0));
}

TEST(HyperParams, AcceptsOneValuePerLayerWhenAllAreEqual) {
  gguf::Metadata metadata = sane_metadata("llama");
  metadata.set("llama.attention.head_count", std::vector<int32_t>{4, 4, 4});
  metadata.set("llama.feed_forward_length", std::vector<uint32_t>{96, 96, 96});
  EXPECT_TRUE(read(metadata).ok());

  metadata.set("llama.feed_forward_length", std::vector<int32_t>{96, 96, 128});
  auto hyper = read(metadata);
  ASSERT_FALSE(hyper.ok());
  EXPECT_EQ(hyper.error().kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(hyper.error().message(), HasSubstr("llama.feed_forward_length differs"));

  metadata.set("llama.feed_forward_length", std::vector<int32_t>{96, 96});
  hyper = read(metadata);
  ASSERT_FALSE(hyper.ok());
  EXPECT_EQ(hyper.error().kind(), ErrorKind::kInvalidInput);
  EXPECT_THAT(hyper.error().message(), HasSubstr("an array of 2 values"));
}

TEST(HyperParams, ReadsRopeScaling) {
  gguf::Metadata metadata = sane_metadata("llama");
  metadata.set("llama.rope.scaling.type", std::string("yarn"));
  metadata.set("llama.rope.scaling.factor", 4.0F);
  metadata.set("llama.rope.scaling.original_context_length", uint32_t{512});
  auto hyper = read(metadata);
  ASSERT_TRUE(hyper.ok());
  EXPECT_EQ(hyper->rope_scaling, RopeScaling::kYarn);
  EXPECT_EQ(hyper->rope_factor, 4);
  EXPECT_EQ(hyper->rope_original_context, 512);

  metadata.set("llama.rope.scaling.yarn_ext_factor", 1.0F);
  EXPECT_TRUE(read(metadata).ok());
  metadata.set("llama.rope.scaling.yarn_attn_factor", 0.5F);
  hyper = read(metadata);
  ASSERT_FALSE(hyper.ok());
  EXPECT_EQ(hyper.error().kind(), ErrorKind::kUnsupported);

  gguf::Metadata old_key = sane_metadata("llama");
  old_key.set("llama.rope.scale_linear", 2.0F);
  hyper = read(old_key);
  ASSERT_TRUE(hyper.ok());
  EXPECT_EQ(hyper->rope_scaling, RopeScaling::kLinear);
  EXPECT_EQ(hyper->rope_factor, 2);
}

TEST(HyperParams, ReadsExperts) {
  gguf::Metadata mixtral = sane_metadata("llama");
  mixtral.set("llama.expert_count", uint32_t{8});
  mixtral.set("llama.expert_used_count", uint32_t{8});
  auto hyper = read(mixtral);
  ASSERT_TRUE(hyper.ok()) << hyper.error().message();
  EXPECT_EQ(hyper->n_experts, 8);
  EXPECT_EQ(hyper->n_experts_used, 8);
  EXPECT_EQ(hyper->n_expert_feed_forward, 96);
  EXPECT_EQ(hyper->n_shared_feed_forward, 0);

  gguf::Metadata qwen = sane_metadata("qwen2moe");
  hyper = read(qwen, "qwen2moe");
  ASSERT_TRUE(hyper.ok()) << hyper.error().message();
  EXPECT_EQ(hyper->n_expert_feed_forward, 48);
  EXPECT_EQ(hyper->n_shared_feed_forward, 96);
  qwen.set("qwen2moe.expert_feed_forward_length", uint32_t{20});
  qwen.set("qwen2moe.expert_shared_feed_forward_length", uint32_t{30});
  hyper = read(qwen, "qwen2moe");
  ASSERT_TRUE(hyper.ok()) << hyper.error().message();
  EXPECT_EQ(hyper->n_expert_feed_forward, 20);
  EXPECT_EQ(hyper->n_shared_feed_forward, 30);
}

// Nothing says how wide an expert is.
TEST(HyperParams, NamesTheMissingWidthOfExperts) {
  for (const char* absent : {"expert_feed_forward_length", "expert_shared_feed_forward_length"}) {
    gguf::Metadata metadata;
    const gguf::Metadata whole = sane_metadata("qwen2moe");
    for (const auto& [name, value] : whole.entries()) {
      if (name != "qwen2moe.feed_forward_length") metadata.set(name, value);
    }
    for (const char* key : {"expert_feed_forward_length", "expert_shared_feed_forward_length"}) {
      if (std::string(key) != absent) metadata.set("qwen2moe." + std::string(key), uint32_t{20});
    }
    const auto hyper = read(metadata, "qwen2moe");
    ASSERT_FALSE(hyper.ok()) << absent;
    EXPECT_THAT(hyper.error().message(), HasSubstr(std::string(absent) + " is missing"));
  }
}

TEST(HyperParams, RefusesWaysOfRoutingThatWouldChangeTheAnswer) {
  const std::pair<std::string, gguf::Value> variants[] = {
      {"expert_gating_func", uint32_t{2}}, {"expert_group_count", uint32_t{4}},
      {"expert_weights_scale", 2.5F},      {"leading_dense_block_count", uint32_t{1}},
      {"expert_weights_norm", true},       {"expert_gating_func", std::string("softmax")},
  };
  for (const auto& [key, value] : variants) {
    gguf::Metadata metadata = sane_metadata("qwen2moe");
    metadata.set("qwen2moe." + key, value);
    const auto hyper = read(metadata, "qwen2moe");
    ASSERT_FALSE(hyper.ok()) << key;
    EXPECT_EQ(hyper.error().kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(hyper.error().message(), HasSubstr("qwen2moe." + key + " is "));
  }
  gguf::Metadata usual = sane_metadata("qwen2moe");
  usual.set("qwen2moe.expert_gating_func", uint32_t{1});
  usual.set("qwen2moe.expert_weights_scale", 1.0F);
  usual.set("qwen2moe.expert_weights_norm", false);
  EXPECT_TRUE(read(usual, "qwen2moe").ok());
}

TEST(HyperParams, RefusesExpertsWhereTheArchitectureHasNone) {
  gguf::Metadata metadata = sane_metadata("qwen3");
  metadata.set("qwen3.expert_count", uint32_t{8});
  metadata.set("qwen3.expert_used_count", uint32_t{2});
  const auto hyper = read(metadata, "qwen3");
  ASSERT_FALSE(hyper.ok());
  EXPECT_EQ(hyper.error().kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(hyper.error().message(), HasSubstr("models of qwen3 run without experts only"));
}

struct BadValue {
  std::string key;  // after "llama."
  gguf::Value value;
  std::string expected;  // part of the message
};

std::vector<BadValue> bad_values() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  return {
      {"block_count", uint32_t{0}, "from 1 to 512"},
      {"block_count", uint32_t{513}, "from 1 to 512"},
      {"block_count", uint32_t{1} << 31, "from 1 to 512"},
      {"block_count", std::string("3"), "a value of type"},
      {"block_count", int32_t{-1}, "is -1"},
      {"block_count", ~uint64_t{0}, "from 1 to 512"},
      {"attention.head_count", uint32_t{0}, "from 1 to 1024"},
      {"attention.head_count", uint32_t{65}, "at most llama.embedding_length"},
      {"attention.head_count", uint32_t{1025}, "from 1 to 1024"},
      {"attention.head_count", 4.0F, "a value of type"},
      {"attention.head_count", std::vector<float>{4, 4, 4}, "a value of type"},
      {"attention.head_count", std::vector<int32_t>{}, "an array of 0 values"},
      {"attention.head_count_kv", uint32_t{0}, "from 1 to 1024"},
      {"attention.head_count_kv", uint32_t{3}, "a divisor of llama.attention.head_count"},
      {"attention.head_count_kv", uint32_t{8}, "a divisor of llama.attention.head_count"},
      {"embedding_length", uint32_t{0}, "from 1 to 65536"},
      {"embedding_length", uint32_t{63}, "a multiple of llama.attention.head_count"},
      {"embedding_length", uint32_t{65537}, "from 1 to 65536"},
      {"feed_forward_length", uint32_t{0}, "from 1 to 1048576"},
      {"context_length", uint32_t{0}, "from 1 to 16777216"},
      {"context_length", uint32_t{1} << 31, "from 1 to 16777216"},
      {"rope.dimension_count", uint32_t{18}, "up to the head size, which is 16"},
      {"rope.dimension_count", uint32_t{7}, "an even number"},
      {"rope.dimension_count", uint32_t{0}, "from 2 to 1024"},
      {"rope.freq_base", 0.0F, "a float from 1 to"},
      {"rope.freq_base", -1.0F, "is -1"},
      {"rope.freq_base", nan, "is nan"},
      {"rope.freq_base", infinity, "is inf"},
      {"rope.freq_base", uint32_t{10000}, "a value of type"},
      {"rope.scaling.factor", 0.0F, "is 0"},
      {"rope.scaling.factor", nan, "is nan"},
      {"rope.scaling.type", std::string("spiral"), "none, linear, yarn or longrope"},
      {"rope.scaling.original_context_length", uint32_t{0}, "from 1 to 16777216"},
      {"attention.layer_norm_rms_epsilon", 0.0F, "is 0"},
      {"attention.layer_norm_rms_epsilon", nan, "is nan"},
      {"attention.layer_norm_rms_epsilon", -1e-5F, "is -1"},
      {"expert_used_count", uint32_t{2}, "llama.expert_count, which is 0"},
      {"expert_count", uint32_t{8}, "expert_used_count is missing; expected 1 to"},
      {"expert_count", uint32_t{1025}, "from 0 to 1024"},
      {"vocab_size", uint32_t{99}, "the length of tokenizer.ggml.tokens, which is 100"},
      {"vocab_size", uint32_t{0}, "from 1 to"},
      {"attention.key_length", uint32_t{0}, "from 1 to 1024"},
      {"attention.key_length", uint32_t{1025}, "from 1 to 1024"},
      {"attention.value_length", uint32_t{8}, "the size of a key is 16"},
      {"attention.sliding_window", uint32_t{1} << 31, "from 0 to 16777216"},
  };
}

TEST(HyperParams, NamesKeyValueAndRangeOfEveryBadValue) {
  for (const BadValue& bad : bad_values()) {
    gguf::Metadata metadata = sane_metadata("llama");
    metadata.set("llama." + bad.key, bad.value);
    const auto hyper = read(metadata);
    ASSERT_FALSE(hyper.ok()) << bad.key << " " << bad.expected;
    EXPECT_THAT(hyper.error().message(), HasSubstr("llama."));
    EXPECT_THAT(hyper.error().message(), HasSubstr(bad.expected)) << bad.key;
  }
}

TEST(HyperParams, RejectsAnEmptyWindowWhereLayersAlternate) {
  gguf::Metadata metadata = sane_metadata("gemma2");
  metadata.set("gemma2.attention.sliding_window", uint32_t{0});
  EXPECT_FALSE(read(metadata, "gemma2").ok());
}

TEST(HyperParams, NamesEveryMissingRequiredKey) {
  for (const HyperParamRow& row : find_arch("llama")->hyper_params) {
    if (row.presence != Presence::kRequired) continue;
    gguf::Metadata metadata;
    const gguf::Metadata whole = sane_metadata("llama");
    const std::string key = "llama." + std::string(row.key);
    for (const auto& [name, value] : whole.entries()) {
      if (name != key) metadata.set(name, value);
    }
    const auto hyper = read(metadata);
    ASSERT_FALSE(hyper.ok()) << key;
    EXPECT_THAT(hyper.error().message(), HasSubstr(key + " is missing"));
  }
}

}  // namespace
}  // namespace quern::arch
