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
inline constexpr HyperParamRow kNeedsExperts =
    integer("expert_count", &HyperParams::n_experts, kRequired, 0, 1, kMaxExperts);
// Absent: see ExpertRecipe.
inline constexpr HyperParamRow kExpertFeedForward =
    integer("expert_feed_forward_length", &HyperParams::n_expert_feed_forward, kOptional, 0, 1,
            kMaxFeedForward);
// Absent: feed_forward_length.
inline constexpr HyperParamRow kSharedFeedForward =
    integer("expert_shared_feed_forward_length", &HyperParams::n_shared_feed_forward, kOptional, 0,
            1, kMaxFeedForward);
// Where only the experts' own widths count.
inline constexpr HyperParamRow kUnusedFeedForward = integer(
    "feed_forward_length", &HyperParams::n_feed_forward, kOptional, 0, 1, kMaxFeedForward, true);
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
constexpr TensorRow with_models(TensorRow row, Models models) {
  row.models = models;
  return row;
}
// One matrix per expert.
constexpr TensorRow stack(TensorRole role, std::string_view pattern, std::string_view split_pattern,
                          Dim cols, Dim n_rows) {
  return {role, pattern, cols, n_rows, Presence::kRequired, Models::kExperts, split_pattern};
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
inline constexpr TensorRow kGate = with_models(
    matrix(TensorRole::kGate, "blk.{}.ffn_gate.weight", Dim::kEmbedding, Dim::kFeedForward),
    Models::kDense);
inline constexpr TensorRow kUp =
    with_models(matrix(TensorRole::kUp, "blk.{}.ffn_up.weight", Dim::kEmbedding, Dim::kFeedForward),
                Models::kDense);
inline constexpr TensorRow kGateUp =
    with_models(matrix(TensorRole::kGateUp, "blk.{}.ffn_up.weight", Dim::kEmbedding, Dim::kGateUp),
                Models::kDense);
inline constexpr TensorRow kDown = with_models(
    matrix(TensorRole::kDown, "blk.{}.ffn_down.weight", Dim::kFeedForward, Dim::kEmbedding),
    Models::kDense);
inline constexpr TensorRow kGateBias =
    with_models(vector(TensorRole::kGateBias, "blk.{}.ffn_gate.bias", Dim::kFeedForward, kOptional),
                Models::kDense);
inline constexpr TensorRow kUpBias =
    with_models(vector(TensorRole::kUpBias, "blk.{}.ffn_up.bias", Dim::kFeedForward, kOptional),
                Models::kDense);
inline constexpr TensorRow kDownBias =
    with_models(vector(TensorRole::kDownBias, "blk.{}.ffn_down.bias", Dim::kEmbedding, kOptional),
                Models::kDense);

// Split patterns: files of Mixtral from before April 2024.
inline constexpr TensorRow kRouter = with_models(
    matrix(TensorRole::kRouter, "blk.{}.ffn_gate_inp.weight", Dim::kEmbedding, Dim::kExperts),
    Models::kExperts);
inline constexpr TensorRow kExpertGate =
    stack(TensorRole::kExpertGate, "blk.{}.ffn_gate_exps.weight", "blk.{}.ffn_gate.{}.weight",
          Dim::kEmbedding, Dim::kExpertFeedForward);
inline constexpr TensorRow kExpertUp =
    stack(TensorRole::kExpertUp, "blk.{}.ffn_up_exps.weight", "blk.{}.ffn_up.{}.weight",
          Dim::kEmbedding, Dim::kExpertFeedForward);
inline constexpr TensorRow kExpertDown =
    stack(TensorRole::kExpertDown, "blk.{}.ffn_down_exps.weight", "blk.{}.ffn_down.{}.weight",
          Dim::kExpertFeedForward, Dim::kEmbedding);
inline constexpr TensorRow kSharedInput = with_models(
    vector(TensorRole::kSharedInput, "blk.{}.ffn_gate_inp_shexp.weight", Dim::kEmbedding),
    Models::kExperts);
inline constexpr TensorRow kSharedGate =
    with_models(matrix(TensorRole::kSharedGate, "blk.{}.ffn_gate_shexp.weight", Dim::kEmbedding,
                       Dim::kSharedFeedForward),
                Models::kExperts);
inline constexpr TensorRow kSharedUp =
    with_models(matrix(TensorRole::kSharedUp, "blk.{}.ffn_up_shexp.weight", Dim::kEmbedding,
                       Dim::kSharedFeedForward),
                Models::kExperts);
inline constexpr TensorRow kSharedDown =
    with_models(matrix(TensorRole::kSharedDown, "blk.{}.ffn_down_shexp.weight",
                       Dim::kSharedFeedForward, Dim::kEmbedding),
                Models::kExperts);

}  // namespace quern::arch::rows
