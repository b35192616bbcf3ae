// Architectures as data: what a model of one architecture is called, which keys and tensors its
// files carry, and how its decoder block is put together.
//
// The loader checks a file against these tables and the forward pass walks the recipe; neither
// knows an architecture by name. To add one: a file with one ArchSpec and a line in arch_list.inc.
// Sources: GGUF specification (ggml-org/ggml docs/gguf.md) for keys and tensor names; the papers
// and published configurations named in each architecture's file for the recipe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/ops/ops.h"
#include "models/arch/hyper_params.h"

namespace quern::arch {

enum class TensorRole : uint8_t {
#define QUERN_ROLE(id, text) id,
#include "models/arch/tensor_role.inc"
#undef QUERN_ROLE
  kCount,
};
inline constexpr size_t kRoleCount = static_cast<size_t>(TensorRole::kCount);
std::string_view role_text(TensorRole role);

enum class Presence : uint8_t {
  kRequired,
  kOptional,
  kTied,  // absent means: the token embedding serves
};

// One hyper-parameter: where it is in the file and what is believable. Exactly one of `integer` and
// `real` is set. An absent optional key gives `fallback`, which is outside the range where
// read_hyper_params() derives the value from others.
struct HyperParamRow {
  std::string_view key;  // after "<architecture>."
  int64_t HyperParams::*integer = nullptr;
  double HyperParams::*real = nullptr;
  Presence presence = Presence::kRequired;
  double fallback = 0;
  double min = 0;
  double max = 0;
  // Files may hold one value per layer; all must be equal.
  bool per_layer = false;
};

// A tensor dimension in terms of hyper-parameters.
enum class Dim : uint8_t {
  kNone,  // no such dimension: a vector
  kEmbedding,
  kVocab,
  kQuery,     // n_heads * head_dim
  kKeyValue,  // n_kv_heads * head_dim
  kQkv,       // kQuery + 2 * kKeyValue
  kHeadDim,
  kHalfRotary,  // n_rot / 2
  kFeedForward,
  kGateUp,  // 2 * kFeedForward
  kExperts,
  kExpertFeedForward,
  kSharedFeedForward,
};
int64_t dim_value(Dim dim, const HyperParams& hyper);
// "embedding_length", "head_count * key_length", ...: for messages.
std::string_view dim_text(Dim dim);

// Which models of an architecture have a tensor.
enum class Models : uint8_t {
  kAll,
  kDense,    // those without experts
  kExperts,  // those with experts
};

// One tensor. A vector (rows == kNone) is used as f32 and must be stored in a float format; a
// matrix may be stored in any format that carries weights. A stack holds one matrix per expert.
struct TensorRow {
  TensorRole role;
  std::string_view pattern;  // "blk.{}.attn_q.weight": {} is the layer; without it: one per model
  Dim cols;                  // ne0 in the file: inputs of a matrix, length of a vector
  Dim rows = Dim::kNone;     // ne1: outputs of a matrix
  Presence presence = Presence::kRequired;
  Models models = Models::kAll;
  // For stacks: the pattern of files that hold a tensor for each expert, layer and expert in place
  // of the two {}. Empty: not a stack.
  std::string_view split_pattern = {};

  bool per_layer() const { return pattern.find("{}") != std::string_view::npos; }
  bool is_vector() const { return rows == Dim::kNone; }
  bool is_stack() const { return !split_pattern.empty(); }
  // Whether a model with these hyper-parameters may have it.
  bool applies(const HyperParams& hyper) const {
    return models == Models::kAll || (models == Models::kExperts) == (hyper.n_experts > 0);
  }
  // ne2: kNone but for stacks.
  Dim depth() const { return is_stack() ? Dim::kExperts : Dim::kNone; }
  std::string name(int64_t layer) const;
  std::string split_name(int64_t layer, int64_t expert) const;
};

enum class WindowPattern : uint8_t {
  kAllLayers,   // every layer, if the file names a window
  kEvenLayers,  // layers 0, 2, 4, ...; the others see everything
};

// How the experts of a block are chosen and joined: softmax over the router's logits, the largest
// ones win. Presence of a shared expert follows from the tensor table.
struct ExpertRecipe {
  // The weights of the chosen experts are divided by their sum.
  bool normalize_weights = true;
  // Without expert_feed_forward_length: feed_forward_length is that of all used experts together,
  // rather than that of each.
  bool divide_feed_forward = false;
};

// How a block is put together. Always: x += post_norm(attention(norm(x))), then
// x += post_norm(down(activation(gate) * up)) of norm(x), or the weighted sum of the chosen
// experts' of these; norms are RMS norms. Norms after a part, biases, QK-norm and fused matrices
// are there when their tensors are in the table and the file.
struct BlockRecipe {
  ops::RopePairing rope_pairing = ops::RopePairing::kHalves;
  ops::Activation activation = ops::Activation::kSilu;
  WindowPattern window = WindowPattern::kAllLayers;
  // Embeddings are multiplied by sqrt(embedding_length).
  bool scale_embedding = false;
  // q.k is multiplied by 1 / sqrt(head_dim), but by 1 / sqrt(embedding_length / head_count) in a
  // model of this many layers; 0: never. See gemma2.cc.
  int64_t embedding_scaled_layers = 0;
  ExpertRecipe experts = {};
};

struct ArchSpec {
  std::string_view name;  // value of general.architecture and prefix of its keys
  std::span<const HyperParamRow> hyper_params;
  std::span<const TensorRow> tensors;
  BlockRecipe recipe;

  // Whether a tensor of the table has this dimension.
  bool uses(Dim dim) const;
};

std::span<const ArchSpec* const> all_archs();
// Null when there is no such architecture here.
const ArchSpec* find_arch(std::string_view name);
// "llama, qwen2, ...": for messages.
std::string arch_names();

// Hard ceilings of every architecture; also the reason why products of two never overflow.
inline constexpr int64_t kMaxLayers = 512;
inline constexpr int64_t kMaxHeads = 1024;
inline constexpr int64_t kMaxHeadDim = 1024;
inline constexpr int64_t kMaxEmbedding = 65536;
inline constexpr int64_t kMaxFeedForward = int64_t{1} << 20;
inline constexpr int64_t kMaxVocab = int64_t{1} << 20;
inline constexpr int64_t kMaxContext = int64_t{1} << 24;
inline constexpr int64_t kMaxExperts = 1024;

}  // namespace quern::arch
