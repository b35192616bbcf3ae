// Rows that several architectures share, so that an architecture's file reads as a list of names.
//
// Ranges: hard ceilings from arch_spec.h; floating-point ranges reject zero, negative and NaN
// values and leave two orders of magnitude around everything published.
#pragma once

#include "models/arch/arch_spec.h"

namespace quern::arch::rows {

// --- hyper-parameters ---------------------------------------------------------------------------

constexpr HyperParamRow integer(std::string_view key, int64_t HyperParams::*field,
                                Presence presence, double fallback, double min, double max,
                                bool per_layer = false) {
  return {key, field, nullptr, presence, fallback, min, max, per_layer};
}
constexpr HyperParamRow real(std::string_view key, double HyperParams::*field, Presence presence,
                             double fallback, double min, double max) {
  return {key, nullptr, field, presence, fallback, min, max, false};
}

inline constexpr auto kRequired = Presence::kRequired;
inline constexpr auto kOptional = Presence::kOptional;

inline constexpr HyperParamRow kLayers =
    integer("block_count", &HyperParams::n_layers, kRequired, 0, 1, kMaxLayers);
inline constexpr HyperParamRow kContext =
    integer("context_length", &HyperParams::context_length, kRequired, 0, 1, kMaxContext);
inline constexpr HyperParamRow kEmbedding =
    integer("embedding_length", &HyperParams::n_embedding, kRequired, 0, 1, kMaxEmbedding);
inline constexpr HyperParamRow kFeedForward = integer(
    "feed_forward_length", &HyperParams::n_feed_forward, kRequired, 0, 1, kMaxFeedForward, true);
inline constexpr HyperParamRow kHeads =
    integer("attention.head_count", &HyperParams::n_heads, kRequired, 0, 1, kMaxHeads, true);
// Absent: as many as query heads.
inline constexpr HyperParamRow kKvHeads =
    integer("attention.head_count_kv", &HyperParams::n_kv_heads, kOptional, 0, 1, kMaxHeads, true);
// Absent: embedding_length / head_count.
inline constexpr HyperParamRow kKeyLength =
    integer("attention.key_length", &HyperParams::head_dim, kOptional, 0, 1, kMaxHeadDim);
inline constexpr HyperParamRow kValueLength =
    integer("attention.value_length", &HyperParams::value_dim, kOptional, 0, 1, kMaxHeadDim);
// Absent: the whole head.
inline constexpr HyperParamRow kRotary =
    integer("rope.dimension_count", &HyperParams::n_rot, kOptional, 0, 2, kMaxHeadDim);
// Absent: the length of the vocabulary.
inline constexpr HyperParamRow kVocab =
    integer("vocab_size", &HyperParams::n_vocab, kOptional, 0, 1, kMaxVocab);
inline constexpr HyperParamRow kExperts =
    integer("expert_count", &HyperParams::n_experts, kOptional, 0, 0, kMaxExperts);
inline constexpr HyperParamRow kExpertsUsed =
    integer("expert_used_count", &HyperParams::n_experts_used, kOptional, 0, 0, kMaxExperts);
// 0 means none, as converters write it. A window longer than the context is harmless and published
// (Phi-3 mini 128k: 262,144).
inline constexpr HyperParamRow kWindow =
    integer("attention.sliding_window", &HyperParams::sliding_window, kOptional, 0, 0, kMaxContext);
inline constexpr HyperParamRow kNormEpsilon =
    real("attention.layer_norm_rms_epsilon", &HyperParams::norm_epsilon, kRequired, 0, 1e-12, 0.1);
// Absent: from head_dim, see BlockRecipe.
inline constexpr HyperParamRow kAttentionScale =
    real("attention.scale", &HyperParams::attention_scale, kOptional, 0, 1e-6, 1e3);
inline constexpr HyperParamRow kRopeBase =
    real("rope.freq_base", &HyperParams::rope_base, kOptional, 10000, 1, 1e12);
inline constexpr HyperParamRow kRopeOriginalContext =
    integer("rope.scaling.original_context_length", &HyperParams::rope_original_context, kOptional,
            0, 1, kMaxContext);
inline constexpr HyperParamRow kRopeAttentionFactor =
    real("rope.scaling.attn_factor", &HyperParams::rope_attention_factor, kOptional, 1, 1e-3, 1e3);
inline constexpr HyperParamRow kRopeBetaFast =
    real("rope.scaling.yarn_beta_fast", &HyperParams::rope_beta_fast, kOptional, 32, 1e-3, 1e6);
inline constexpr HyperParamRow kRopeBetaSlow =
    real("rope.scaling.yarn_beta_slow", &HyperParams::rope_beta_slow, kOptional, 1, 1e-3, 1e6);

// --- tensors ------------------------------------------------------------------------------------

constexpr TensorRow matrix(TensorRole role, std::string_view pattern, Dim cols, Dim n_rows,
                           Presence presence = Presence::kRequired) {
  return {role, pattern, cols, n_rows, presence};
}
constexpr TensorRow vector(TensorRole role, std::string_view pattern, Dim length,
                           Presence presence = Presence::kRequired) {
  return {role, pattern, length, Dim::kNone, presence};
}

inline constexpr TensorRow kTokenEmbedding =
    matrix(TensorRole::kTokenEmbedding, "token_embd.weight", Dim::kEmbedding, Dim::kVocab);
inline constexpr TensorRow kOutputNorm =
    vector(TensorRole::kOutputNorm, "output_norm.weight", Dim::kEmbedding);
inline constexpr TensorRow kOutput =
    matrix(TensorRole::kOutput, "output.weight", Dim::kEmbedding, Dim::kVocab, Presence::kTied);
inline constexpr TensorRow kRopeFactors =
    vector(TensorRole::kRopeFactors, "rope_freqs.weight", Dim::kHalfRotary, kOptional);
inline constexpr TensorRow kRopeFactorsLong =
    vector(TensorRole::kRopeFactorsLong, "rope_factors_long.weight", Dim::kHalfRotary, kOptional);
inline constexpr TensorRow kRopeFactorsShort =
    vector(TensorRole::kRopeFactorsShort, "rope_factors_short.weight", Dim::kHalfRotary, kOptional);

inline constexpr TensorRow kAttentionNorm =
    vector(TensorRole::kAttentionNorm, "blk.{}.attn_norm.weight", Dim::kEmbedding);
inline constexpr TensorRow kAttentionPostNorm =
    vector(TensorRole::kAttentionPostNorm, "blk.{}.post_attention_norm.weight", Dim::kEmbedding);
inline constexpr TensorRow kQuery =
    matrix(TensorRole::kQuery, "blk.{}.attn_q.weight", Dim::kEmbedding, Dim::kQuery);
inline constexpr TensorRow kKey =
    matrix(TensorRole::kKey, "blk.{}.attn_k.weight", Dim::kEmbedding, Dim::kKeyValue);
inline constexpr TensorRow kValue =
    matrix(TensorRole::kValue, "blk.{}.attn_v.weight", Dim::kEmbedding, Dim::kKeyValue);
inline constexpr TensorRow kQkv =
    matrix(TensorRole::kQkv, "blk.{}.attn_qkv.weight", Dim::kEmbedding, Dim::kQkv);
inline constexpr TensorRow kAttentionOutput =
    matrix(TensorRole::kAttentionOutput, "blk.{}.attn_output.weight", Dim::kQuery, Dim::kEmbedding);
constexpr TensorRow query_bias(Presence presence) {
  return vector(TensorRole::kQueryBias, "blk.{}.attn_q.bias", Dim::kQuery, presence);
}
constexpr TensorRow key_bias(Presence presence) {
  return vector(TensorRole::kKeyBias, "blk.{}.attn_k.bias", Dim::kKeyValue, presence);
}
constexpr TensorRow value_bias(Presence presence) {
  return vector(TensorRole::kValueBias, "blk.{}.attn_v.bias", Dim::kKeyValue, presence);
}
inline constexpr TensorRow kAttentionOutputBias =
    vector(TensorRole::kAttentionOutputBias, "blk.{}.attn_output.bias", Dim::kEmbedding, kOptional);
inline constexpr TensorRow kQueryNorm =
    vector(TensorRole::kQueryNorm, "blk.{}.attn_q_norm.weight", Dim::kHeadDim);
inline constexpr TensorRow kKeyNorm =
    vector(TensorRole::kKeyNorm, "blk.{}.attn_k_norm.weight", Dim::kHeadDim);

inline constexpr TensorRow kFfnNorm =
    vector(TensorRole::kFfnNorm, "blk.{}.ffn_norm.weight", Dim::kEmbedding);
inline constexpr TensorRow kFfnPostNorm =
    vector(TensorRole::kFfnPostNorm, "blk.{}.post_ffw_norm.weight", Dim::kEmbedding);
inline constexpr TensorRow kGate =
    matrix(TensorRole::kGate, "blk.{}.ffn_gate.weight", Dim::kEmbedding, Dim::kFeedForward);
inline constexpr TensorRow kUp =
    matrix(TensorRole::kUp, "blk.{}.ffn_up.weight", Dim::kEmbedding, Dim::kFeedForward);
inline constexpr TensorRow kGateUp =
    matrix(TensorRole::kGateUp, "blk.{}.ffn_up.weight", Dim::kEmbedding, Dim::kGateUp);
inline constexpr TensorRow kDown =
    matrix(TensorRole::kDown, "blk.{}.ffn_down.weight", Dim::kFeedForward, Dim::kEmbedding);
inline constexpr TensorRow kGateBias =
    vector(TensorRole::kGateBias, "blk.{}.ffn_gate.bias", Dim::kFeedForward, kOptional);
inline constexpr TensorRow kUpBias =
    vector(TensorRole::kUpBias, "blk.{}.ffn_up.bias", Dim::kFeedForward, kOptional);
inline constexpr TensorRow kDownBias =
    vector(TensorRole::kDownBias, "blk.{}.ffn_down.bias", Dim::kEmbedding, kOptional);

}  // namespace quern::arch::rows
