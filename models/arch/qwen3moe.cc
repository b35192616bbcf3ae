// Qwen3 with experts (30B-A3B, 235B-A22B): as Qwen3, with many narrow experts whose weights are
// normalized, and no shared one.
//
// Source: Yang et al. 2025 (Qwen3 technical report) and the published configurations
// (norm_topk_prob true). Names and the width without a key of its own: ggml-org/llama.cpp,
// gguf-py/gguf/constants.py and src/models/qwen3moe.cpp.
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
    rows::kNormEpsilon,
    rows::kRopeBase,
    rows::kRopeBetaFast,
    rows::kRopeBetaSlow,
    rows::kRopeAttentionFactor,
    rows::kRopeOriginalContext,
};

constexpr TensorRow kTensors[] = {
    rows::kTokenEmbedding, rows::kOutputNorm,      rows::kOutput,     rows::kAttentionNorm,
    rows::kQuery,          rows::kQueryNorm,       rows::kKey,        rows::kKeyNorm,
    rows::kValue,          rows::kAttentionOutput, rows::kFfnNorm,    rows::kRouter,
    rows::kExpertGate,     rows::kExpertUp,        rows::kExpertDown,
};

}  // namespace

extern const ArchSpec kQwen3Moe;
constinit const ArchSpec kQwen3Moe = {
    .name = "qwen3moe",
    .hyper_params = kHyperParams,
    .tensors = kTensors,
    .recipe = {.experts = {.normalize_weights = true, .divide_feed_forward = true}},
};

}  // namespace quern::arch
