// Qwen2 and Qwen2.5: biases on query, key and value.
// Source: Yang et al. 2024 (Qwen2 technical report). No published model switches its sliding
// window on, and files do not carry it.
#include "models/arch/arch_spec.h"
#include "models/arch/table_rows.h"

namespace quern::arch {
namespace {

constexpr HyperParamRow kHyperParams[] = {
    rows::kLayers,
    rows::kContext,
    rows::kEmbedding,
    rows::kFeedForward,
    rows::kHeads,
    rows::kKvHeads,
    rows::kKeyLength,
    rows::kValueLength,
    rows::kRotary,
    rows::kVocab,
    rows::kExperts,
    rows::kExpertsUsed,
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
    rows::kGate,
    rows::kUp,
    rows::kDown,
};

}  // namespace

extern const ArchSpec kQwen2;
constinit const ArchSpec kQwen2 = {
    .name = "qwen2",
    .hyper_params = kHyperParams,
    .tensors = kTensors,
    .recipe = {},
};

}  // namespace quern::arch
