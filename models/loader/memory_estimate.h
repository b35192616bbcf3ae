// How much memory a model file needs to run, and how much work a token is, from its header alone.
//
//   weights  every tensor that the architecture uses, in the format of the file; used where the
//   file
//            is mapped, so shared with the page cache and with other processes
//   KV       sequences * ceil(context / kPageTokens) pages of
//            2 * layers * kPageTokens * kv heads * head size * bytes per value
//   scratch  the intermediate values of a step (models/graph/scratch.h), host logits, and the
//            backend's copy of the activations in 8 bits: 2 bytes for each value of the widest
//            input and of the feed-forward's result, which bounds 1 byte per value and 28 for each
//            block of 32; with experts the inputs grouped by expert once more
//
// Reads no tensor data and allocates nothing large.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "config/base/result.h"
#include "kernels/ops/ops.h"
#include "models/arch/hyper_params.h"
#include "models/gguf/reader.h"
#include "models/loader/adapter.h"

namespace quern::loader {

// What is to be run at once.
struct RunSize {
  int64_t context_tokens = 0;  // of each sequence; 0: what the model was trained with
  int32_t sequences = 1;
  int32_t max_step_tokens = 256;
  ops::KvFormat kv_format = ops::KvFormat::kF16;
};

struct MemoryEstimate {
  uint64_t weights = 0;
  uint64_t kv = 0;
  uint64_t scratch = 0;

  uint64_t total() const { return weights + kv + scratch; }
};

// What one step reads and multiplies. The token embedding counts only where it is the output matrix
// too: otherwise one row of it is read per token.
struct TokenWork {
  uint64_t layer_bytes = 0;   // matrices of all layers, apart from those of chosen experts
  uint64_t output_bytes = 0;  // output matrix
  uint64_t layer_values = 0;
  uint64_t output_values = 0;
  uint64_t expert_bytes = 0;  // all experts of all layers
  uint64_t expert_values = 0;
  int64_t n_experts = 0;  // 0: dense
  int64_t n_experts_used = 0;
  uint64_t attention_width = 0;  // layers * query heads * head size
  uint64_t kv_bytes = 0;         // keys and values of one token

  // The share of the experts that a step of this many tokens reads, on average, when each token
  // chooses on its own and every expert as often: 1 - (1 - used / all)^tokens.
  double expert_share(int64_t tokens) const;
  // Weights read by a step of this many tokens.
  double bytes(int64_t tokens) const;
  // Weights of the layers that one token is multiplied with.
  double token_layer_values() const;
  // And of the output matrix.
  double token_values() const { return token_layer_values() + static_cast<double>(output_values); }
};

struct ModelSize {
  arch::HyperParams hyper;
  uint64_t weight_bytes = 0;
  TokenWork work;
};

// How many bytes a tensor takes, for a file whose matrices are to be in other formats.
using TensorBytes = std::function<uint64_t(const gguf::TensorInfo& tensor)>;

// Errors as Model::load: unknown architecture, missing or misshapen tensors, hyper-parameters.
// `bytes_of` is null for a file as it is.
Result<ModelSize> model_size(const gguf::GgufFile& file,
                             ops::KvFormat kv_format = ops::KvFormat::kF16,
                             const TensorBytes& bytes_of = nullptr);

// An error only where the sizes asked for overflow.
Result<MemoryEstimate> estimate_memory(const ModelSize& model, const RunSize& run);

// Scratch of a forward pass alone: equals graph::ForwardPass::scratch_bytes().
uint64_t forward_scratch_bytes(const arch::HyperParams& hyper, int32_t max_tokens,
                               int32_t max_outputs);
// What that grows by with these adapters.
uint64_t adapter_scratch_bytes(std::span<const AdapterFacts> adapters, int32_t max_tokens,
                               int32_t max_outputs);

}  // namespace quern::loader
