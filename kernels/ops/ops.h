// The operations of a transformer step: argument structs and contracts, no code.
//
// All activations are f32, token-major: row t of a matrix belongs to token t of the step. Pointers
// are device pointers of the backend that runs the op (host pointers on the CPU). Every op honours
// the reproducibility contract of the CPU backend (kernels/cpu/README.md): an output value depends
// only on its own weights and its own sequence, computed in one fixed order of operations.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace quern::dispatch {
struct Weight;
}

namespace quern::ops {

enum class OpId : uint8_t {
#define QUERN_OP(id, name) id,
#include "kernels/ops/op_list.inc"
#undef QUERN_OP
  kCount,
};

// A low-rank adapter of the model that a sequence is computed with, and how strongly.
struct AdapterUse {
  int32_t adapter = 0;  // counted as whoever runs the model counts its adapters
  float scale = 1;
  auto operator<=>(const AdapterUse&) const = default;
};

// The tokens of one sequence inside a step, and where its keys and values are kept.
struct SequenceSlice {
  int32_t first_token = 0;     // index of its first token in the step
  int32_t n_tokens = 0;        // at least 1
  int32_t first_position = 0;  // position of that token in its sequence; the rest follow
  // Page ids in sequence order; page p holds positions [p * page_tokens, (p+1) * page_tokens).
  // Covers first_position + n_tokens positions.
  std::span<const int32_t> pages;
  // Ascending by adapter, each once. No operation looks at them: a forward pass does.
  std::span<const AdapterUse> adapters = {};
};

// What one step computes. All spans stay valid until finish_step().
struct StepInputs {
  std::span<const int32_t> tokens;           // [n_tokens], checked against the vocabulary
  std::span<const SequenceSlice> sequences;  // cover all tokens, in order, without overlap
  std::span<const int32_t> outputs;          // indices of tokens whose logits are wanted, ascending
};

// y[i, :] = float(table[tokens[i], :]) * scale for every token of the step.
struct GatherArgs {
  const dispatch::Weight* table;  // [n_vocab, n_cols]
  float scale;
  float* y;  // [n_tokens, n_cols]
};

// One linear layer applied to rows of x.
struct MatmulOutput {
  const dispatch::Weight* weight;  // [n_out, n_in]
  const float* bias;               // [n_out] or null
  float* y;                        // [n_rows, n_out], rows y_stride values apart
  int64_t y_stride;
};

// y = x * weight^T + bias for each output; all outputs share x (and its quantized form).
struct MatmulArgs {
  const float* x;  // [n_rows, n_in], rows x_stride values apart
  int64_t x_stride;
  int64_t n_rows;
  std::span<const MatmulOutput> outputs;
};

// Operations whose result y goes into a matrix product have a `next`: a weight that multiplies y,
// or null. It is a hint and changes no value: a backend may bring y into the form which that
// product reads while y is in its cache.

// y[r, :] = x[r, :] / sqrt(mean(x[r, :]^2) + epsilon) * weight, over n_rows rows of n_cols values.
// y == x is allowed. Row r starts at x + r * x_stride (QK-norm: a row is one head).
struct RmsNormArgs {
  const float* x;
  int64_t x_stride;
  const float* weight;  // [n_cols]
  float epsilon;
  float* y;
  int64_t y_stride;
  int64_t n_rows;
  int64_t n_cols;
  const dispatch::Weight* next = nullptr;
};

// cos and sin of position * inverse_frequency[i], times magnitude, for every token of the step.
struct RopeTableArgs {
  const float* inverse_frequency;  // [n_rot / 2]
  int64_t n_rot;
  float magnitude;  // YaRN's attention factor; 1 otherwise
  float* cosine;    // [n_tokens, n_rot / 2]
  float* sine;      // [n_tokens, n_rot / 2]
};

enum class RopePairing : uint8_t {
  kNeighbours,  // rotates (2i, 2i+1): original Llama order, GGUF architecture `llama`
  kHalves,      // rotates (i, i + n_rot/2): GPT-NeoX order
};

// Rotates the first n_rot values of each head in place.
struct RopeArgs {
  float* x;  // [n_tokens, n_heads, head_dim], tokens x_stride values apart
  int64_t x_stride;
  int64_t n_heads;
  int64_t head_dim;
  int64_t n_rot;
  RopePairing pairing;
  const float* cosine;
  const float* sine;
};

// Precision of cached keys and values. kQ8_0 and kQ4_0 are blocks of 32 values along head_dim,
// which must be a multiple of 32 then: 8 or 4 bits each and an f16 scale per block.
enum class KvFormat : uint8_t { kF32, kF16, kQ8_0, kQ4_0 };

struct KvFormatInfo {
  std::string_view name;
  int64_t block_values;  // along head_dim
  int64_t block_bytes;
};
// In the order of KvFormat.
inline constexpr std::array<KvFormatInfo, 4> kKvFormats = {
    {{"f32", 1, 4}, {"f16", 1, 2}, {"q8_0", 32, 32 + 2}, {"q4_0", 32, 16 + 2}}};
constexpr const KvFormatInfo& kv_format_info(KvFormat format) {
  return kKvFormats[static_cast<size_t>(format)];
}
// Nothing for a name that is not in the table.
constexpr std::optional<KvFormat> kv_format_of(std::string_view name) {
  for (size_t i = 0; i < kKvFormats.size(); ++i) {
    if (kKvFormats[i].name == name) return static_cast<KvFormat>(i);
  }
  return std::nullopt;
}

// Bytes of the keys, or of the values, of one kv head in one page.
constexpr int64_t kv_head_bytes(KvFormat format, int64_t page_tokens, int64_t head_dim) {
  const KvFormatInfo& info = kv_format_info(format);
  return page_tokens * (head_dim / info.block_values) * info.block_bytes;
}
// Whether heads of this size can be kept in `format`.
constexpr bool kv_format_fits(KvFormat format, int64_t head_dim) {
  return head_dim % kv_format_info(format).block_values == 0;
}

// Keys and values of one layer, page after page; each of the two takes n_kv_heads * kv_head_bytes()
// per page. The order inside a page is the backend's own (the CPU keeps keys as [kv
// head][head_dim][token], values as [kv head][token][head_dim]), so copy whole pages only. On the
// CPU page_tokens is a multiple of 16.
struct KvLayerView {
  std::byte* keys;
  std::byte* values;
  KvFormat format;
  int32_t page_tokens;
  int32_t n_kv_heads;
  int32_t head_dim;
};

// Writes keys and values of the step's tokens into their pages.
struct KvStoreArgs {
  KvLayerView cache;
  const float* keys;  // [n_tokens, n_kv_heads, head_dim], tokens stride values apart
  const float* values;
  int64_t stride;
};

// Causal attention of each token over positions (max(0, p - window + 1)) .. p of its sequence,
// after kv_store of the same step. Grouped queries: head h reads kv head h / (n_heads/n_kv_heads).
struct AttentionArgs {
  KvLayerView cache;
  const float* q;  // [n_tokens, n_heads, head_dim], tokens q_stride values apart
  int64_t q_stride;
  int64_t n_heads;
  float scale;     // applied to q.k
  float softcap;   // 0: none; else s = softcap * tanh(s / softcap) before masking
  int32_t window;  // 0: all positions
  float* y;        // [n_tokens, n_heads, head_dim], tokens y_stride values apart
  int64_t y_stride;
  const dispatch::Weight* next = nullptr;
};

enum class Activation : uint8_t { kSilu, kGeluTanh };

// y = activation(gate) * up, [n_rows, n_cols]; y may be gate.
struct GatedActivationArgs {
  Activation activation;
  const float* gate;
  int64_t gate_stride;
  const float* up;
  int64_t up_stride;
  float* y;
  int64_t y_stride;
  int64_t n_rows;
  int64_t n_cols;
};

// y = activation(x * gate^T) * (x * up^T), with the biases: a matrix product with the outputs gate
// and up, then the gated activation of both. What gate.y and up.y hold afterwards is not defined.
struct GatedMatmulArgs {
  const float* x;  // [n_rows, n_in], rows x_stride values apart
  int64_t x_stride;
  int64_t n_rows;
  MatmulOutput gate;  // both with n_out rows of weights
  MatmulOutput up;
  Activation activation;
  float* y;  // [n_rows, n_out]; may be gate.y, with its stride
  int64_t y_stride;
  const dispatch::Weight* next = nullptr;
};

// y[r, :] += x[r, :] over n_rows rows of n values.
struct AddArgs {
  const float* x;
  float* y;
  int64_t n;
  int64_t n_rows = 1;
  int64_t x_stride = 0;  // values from a row to the next
  int64_t y_stride = 0;
};

// x *= factor, n values.
struct ScaleArgs {
  float* x;
  float factor;
  int64_t n;
};

// x = cap * tanh(x / cap), n values.
struct SoftcapArgs {
  float* x;
  float cap;
  int64_t n;
};

// Which experts each row goes to, with which weights, and all pairs of a row and an expert grouped
// by expert, so that the matrices of an expert are read once per step. Device memory; route() fills
// it. A pair's place counts through the experts, ascending, and through the rows of each,
// ascending.
struct ExpertRouting {
  int64_t n_experts;
  int64_t n_used;    // experts per row, 1 .. n_experts
  int32_t* experts;  // [n_rows, n_used]: the one with the largest logit first
  float* weights;    // [n_rows, n_used]
  int32_t* places;   // [n_rows, n_used]
  int32_t* sources;  // [n_rows * n_used]: the row of each place
  int32_t* firsts;   // [n_experts + 1]: expert e has the places firsts[e] .. firsts[e + 1] - 1
};

// The n_used experts with the largest logits; of equal ones the lower index. Their weights are the
// softmax over all experts, or, if normalize, over the chosen ones. A row whose logits hold a NaN
// or +infinity goes to experts 0 .. n_used - 1 with weights of NaN.
struct RouteArgs {
  float* logits;  // [n_rows, n_experts]; overwritten
  int64_t n_rows;
  bool normalize;
  ExpertRouting routing;
};

// One linear layer that every expert has with values of its own.
struct ExpertOutput {
  // [n_out, n_in] per expert: one weight with the matrices of all experts one after the other, or a
  // weight for each expert.
  std::span<const dispatch::Weight* const> weights;
  int64_t n_out;
  float* y;  // [n_rows * n_used, n_out] by place, y_stride values apart
  int64_t y_stride;
};

// y[place] = x[row or place] * weight of the place's expert^T. Runs on the rows of matmul and gives
// their bits. All outputs share x (and its quantized form).
struct ExpertMatmulArgs {
  const float* x;  // rows x_stride values apart
  int64_t x_stride;
  bool x_by_place;  // x has a row for each place; otherwise one for each of the n_rows
  int64_t n_rows;
  ExpertRouting routing;
  std::span<const ExpertOutput> outputs;
};

// y[r, :] = sum of weight * x[place, :] over the experts of row r in the order of
// ExpertRouting::experts, then + sigmoid(shared_gate[r]) * shared[r, :] if there is a shared
// expert.
struct ExpertCombineArgs {
  const float* x;  // [n_rows * n_used, n_cols] by place
  ExpertRouting routing;
  const float* shared;       // [n_rows, n_cols] or null
  const float* shared_gate;  // [n_rows] or null
  float* y;                  // [n_rows, n_cols]
  int64_t n_rows;
  int64_t n_cols;
};

}  // namespace quern::ops
