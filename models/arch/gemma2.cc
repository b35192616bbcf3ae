// Gemma 2: norms after attention and feed-forward too, soft-capped scores and logits, every other
// layer with a sliding window, GELU, embeddings scaled by sqrt(embedding_length).
//
// Source: Gemma Team 2024 (Gemma 2) and the published configurations. Norm weights in GGUF files
// already include the +1. The 27B model (46 layers) divides queries by sqrt(embedding_length /
// head_count) instead of sqrt(head size); files do not say so, hence the layer count here.
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
    rows::integer("attention.sliding_window", &HyperParams::sliding_window, Presence::kOptional,
                  4096, 1, kMaxContext),
    rows::kNormEpsilon,
    rows::kAttentionScale,
    rows::real("attn_logit_softcapping", &HyperParams::attention_softcap, Presence::kOptional, 50,
               1e-3, 1e6),
    rows::real("final_logit_softcapping", &HyperParams::final_softcap, Presence::kOptional, 30,
               1e-3, 1e6),
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
    rows::kKey,
    rows::kValue,
    rows::kAttentionOutput,
    rows::kAttentionPostNorm,
    rows::kFfnNorm,
    rows::kGate,
    rows::kUp,
    rows::kDown,
    rows::kFfnPostNorm,
};

}  // namespace

extern const ArchSpec kGemma2;
constinit const ArchSpec kGemma2 = {
    .name = "gemma2",
    .hyper_params = kHyperParams,
    .tensors = kTensors,
    .recipe = {.activation = ops::Activation::kGeluTanh,
               .window = WindowPattern::kEvenLayers,
               .scale_embedding = true,
               .embedding_scaled_layers = 46},
};

}  // namespace quern::arch
