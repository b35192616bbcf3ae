// Phi-3, Phi-3.5 mini, Phi-4 and Phi-4 mini: query, key and value in one matrix, gate and up in one
// matrix (gate first), rotary factors for short and long contexts (LongRoPE).
//
// Sources: Abdin et al. 2024 (Phi-3), Ding et al. 2024 (LongRoPE), published configurations.
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
    rows::kWindow,
    rows::kNormEpsilon,
    rows::kRopeBase,
    rows::kRopeBetaFast,
    rows::kRopeBetaSlow,
    rows::kRopeAttentionFactor,
    rows::kRopeOriginalContext,
};

constexpr TensorRow kTensors[] = {
    rows::kTokenEmbedding,   rows::kOutputNorm,    rows::kOutput, rows::kRopeFactorsLong,
    rows::kRopeFactorsShort, rows::kAttentionNorm, rows::kQkv,    rows::kAttentionOutput,
    rows::kFfnNorm,          rows::kGateUp,        rows::kDown,
};

}  // namespace

extern const ArchSpec kPhi3;
constinit const ArchSpec kPhi3 = {
    .name = "phi3",
    .hyper_params = kHyperParams,
    .tensors = kTensors,
    .recipe = {},
};

}  // namespace quern::arch
