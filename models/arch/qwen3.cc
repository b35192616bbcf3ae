// Qwen3 (dense): a norm on each query and key head instead of biases; head size set freely.
// Source: Yang et al. 2025 (Qwen3 technical report).
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
    rows::kQueryNorm,
    rows::kKey,
    rows::kKeyNorm,
    rows::kValue,
    rows::kAttentionOutput,
    rows::kFfnNorm,
    rows::kGate,
    rows::kUp,
    rows::kDown,
};

}  // namespace

extern const ArchSpec kQwen3;
constinit const ArchSpec kQwen3 = {
    .name = "qwen3",
    .hyper_params = kHyperParams,
    .tensors = kTensors,
    .recipe = {},
};

}  // namespace quern::arch
