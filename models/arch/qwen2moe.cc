// Qwen1.5-MoE and Qwen2-MoE (57B-A14B): as Qwen2, with many narrow experts whose weights are not
// normalized, and one wide expert for every token, scaled by a sigmoid.
//
// Source: Yang et al. 2024 (Qwen2 technical report) and the published configurations
// (norm_topk_prob false). Names and the width without a key of its own: ggml-org/llama.cpp,
// gguf-py/gguf/constants.py and src/models/qwen2moe.cpp.
#include "models/arch/arch_spec.h"
#include "models/arch/table_rows.h"

namespace quern::arch {
namespace {

constexpr HyperParamRow kHyperParams[] = {
    rows::kLayers,
    rows::kContext,
    rows::kEmbedding,
    rows::kUnusedFeedForward,
    rows::kHeads,
    rows::kKvHeads,
    rows::kKeyLength,
    rows::kValueLength,
    rows::kRotary,
    rows::kVocab,
    rows::kNeedsExperts,
    rows::kExpertsUsed,
    rows::kExpertFeedForward,
    rows::kSharedFeedForward,
    rows::kNormEpsilon,
    rows::kRopeBase,
    rows::kRopeBetaFast,
    rows::kRopeBetaSlow,
    rows::kRopeAttentionFactor,
    rows::kRopeOriginalContext,
};

constexpr TensorRow kTensors[] = {
    rows::kTokenEmbedding,
    rows::kOutputNorm,
    rows::kOutput,
    rows::kAttentionNorm,
    rows::kQuery,
    rows::query_bias(Presence::kRequired),
    rows::kKey,
    rows::key_bias(Presence::kRequired),
    rows::kValue,
    rows::value_bias(Presence::kRequired),
    rows::kAttentionOutput,
    rows::kFfnNorm,
    rows::kRouter,
    rows::kExpertGate,
    rows::kExpertUp,
    rows::kExpertDown,
    rows::kSharedInput,
    rows::kSharedGate,
    rows::kSharedUp,
    rows::kSharedDown,
};

}  // namespace

extern const ArchSpec kQwen2Moe;
constinit const ArchSpec kQwen2Moe = {
    .name = "qwen2moe",
    .hyper_params = kHyperParams,
    .tensors = kTensors,
    .recipe = {.experts = {.normalize_weights = false, .divide_feed_forward = true}},
};

}  // namespace quern::arch
