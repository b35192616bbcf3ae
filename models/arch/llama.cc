// Llama 1 to 3 and everything shipped under that name: Mistral, Mixtral, Yi, SmolLM, TinyLlama, ...
//
// Sources: Touvron et al. 2023 (Llama, Llama 2), Dubey et al. 2024 (Llama 3, whose stretched
// frequencies files carry as rope_freqs), Jiang et al. 2023 (Mistral, sliding window), Jiang et al.
// 2024 (Mixtral: experts as wide as feed_forward_length, weights of the chosen ones normalized).
// GGUF files of this architecture store query and key rows so that neighbouring values rotate
// together.
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
    rows::kAttentionScale,
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
    rows::kRopeFactors,
    rows::kAttentionNorm,
    rows::kQuery,
    rows::query_bias(Presence::kOptional),
    rows::kKey,
    rows::key_bias(Presence::kOptional),
    rows::kValue,
    rows::value_bias(Presence::kOptional),
    rows::kAttentionOutput,
    rows::kAttentionOutputBias,
    rows::kFfnNorm,
    rows::kGate,
    rows::kGateBias,
    rows::kUp,
    rows::kUpBias,
    rows::kDown,
    rows::kDownBias,
    rows::kRouter,
    rows::kExpertGate,
    rows::kExpertUp,
    rows::kExpertDown,
};

}  // namespace

extern const ArchSpec kLlama;
constinit const ArchSpec kLlama = {
    .name = "llama",
    .hyper_params = kHyperParams,
    .tensors = kTensors,
    .recipe = {.rope_pairing = ops::RopePairing::kNeighbours},
};

}  // namespace quern::arch
