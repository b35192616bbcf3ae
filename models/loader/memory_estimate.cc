#include "models/loader/memory_estimate.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "config/base/checked.h"
#include "models/arch/arch_spec.h"
#include "models/graph/forward.h"
#include "models/graph/weights.h"
#include "models/loader/tensor_check.h"

namespace quern::loader {
namespace {

using arch::TensorRole;

Result<const arch::ArchSpec*> spec_of(const gguf::Metadata& metadata) {
  QUERN_ASSIGN_OR_RETURN(const std::string_view name, metadata.get_string("general.architecture"));
  const arch::ArchSpec* spec = arch::find_arch(name);
  if (spec != nullptr) return spec;
  return Error(ErrorKind::kUnsupported, "general.architecture is \"" + std::string(name) +
                                            "\"; expected one of " + arch::arch_names() +
                                            ", so this model cannot run here");
}

Result<int64_t> vocabulary_length(const gguf::Metadata& metadata) {
  QUERN_ASSIGN_OR_RETURN(const auto* tokens,
                         metadata.find_array<std::string>("tokenizer.ggml.tokens"));
  return tokens == nullptr ? int64_t{0} : static_cast<int64_t>(tokens->size());
}

void count_tensor(const arch::TensorRow& row, const gguf::TensorInfo& tensor, uint64_t bytes,
                  bool tied, ModelSize& size) {
  size.weight_bytes += bytes;
  if (row.is_vector()) return;
  const bool output = row.role == TensorRole::kOutput;
  const bool embedding = row.role == TensorRole::kTokenEmbedding;
  if (output || (embedding && tied)) {
    size.work.output_bytes += bytes;
    size.work.output_values += tensor.n_values();
  } else if (row.is_stack()) {
    size.work.expert_bytes += bytes;
    size.work.expert_values += tensor.n_values();
  } else if (!embedding) {
    size.work.layer_bytes += bytes;
    size.work.layer_values += tensor.n_values();
  }
}

// Hyper-parameter limits keep a row below 2^32 values; rows are at most 2^12 tokens times 2^10
// experts.
uint64_t padded_floats(int64_t n_rows, int64_t n_cols) {
  const uint64_t bytes =
      static_cast<uint64_t>(n_rows) * static_cast<uint64_t>(n_cols) * sizeof(float);
  return (bytes + 63) / 64 * 64;
}

uint64_t bytes_per_page(const arch::HyperParams& hyper, ops::KvFormat format) {
  graph::DecoderWeights weights;
  weights.hyper = hyper;
  return graph::KvStorage::bytes_per_page(weights, format);
}

// Router logits, outputs of the experts and of the shared one, and what ExpertRouting points to.
uint64_t expert_floats(const arch::HyperParams& hyper, int64_t max_tokens) {
  const int64_t n_pairs = max_tokens * hyper.n_experts_used;
  const uint64_t shared =
      hyper.n_shared_feed_forward > 0
          ? padded_floats(max_tokens, hyper.n_embedding) + padded_floats(max_tokens, 1)
          : 0;
  return padded_floats(max_tokens, hyper.n_experts) + padded_floats(n_pairs, hyper.n_embedding) +
         shared + 4 * padded_floats(n_pairs, 1) + padded_floats(hyper.n_experts + 1, 1);
}

uint64_t feed_forward_floats(const arch::HyperParams& hyper, int64_t max_tokens) {
  if (hyper.n_experts == 0) return padded_floats(max_tokens, 2 * hyper.n_feed_forward);
  const int64_t widest = std::max(hyper.n_experts_used * 2 * hyper.n_expert_feed_forward,
                                  2 * hyper.n_shared_feed_forward);
  return padded_floats(max_tokens, widest) + expert_floats(hyper, max_tokens);
}

// Values of a token that the backend keeps in 8 bits at once: the widest input of a plain product;
// of a dense feed-forward, its result; of experts their widest input, and inputs once more for each
// expert used.
int64_t quantized_values(const arch::HyperParams& hyper) {
  const int64_t attention = std::max(hyper.n_embedding, hyper.query_width());
  if (hyper.n_experts == 0) return attention + hyper.n_feed_forward;
  const int64_t of_experts =
      std::max(hyper.n_embedding, hyper.n_experts_used * hyper.n_expert_feed_forward);
  return std::max(attention, hyper.n_shared_feed_forward) + of_experts +
         hyper.n_experts_used * hyper.n_embedding;
}

}  // namespace

double TokenWork::expert_share(int64_t tokens) const {
  if (n_experts == 0) return 0;
  const double unused = 1 - static_cast<double>(n_experts_used) / static_cast<double>(n_experts);
  return 1 - std::pow(unused, static_cast<double>(tokens));
}

double TokenWork::bytes(int64_t tokens) const {
  return static_cast<double>(layer_bytes + output_bytes) +
         expert_share(tokens) * static_cast<double>(expert_bytes);
}

double TokenWork::token_layer_values() const {
  return static_cast<double>(layer_values) + expert_share(1) * static_cast<double>(expert_values);
}

Result<ModelSize> model_size(const gguf::GgufFile& file, ops::KvFormat kv_format,
                             const TensorBytes& bytes_of) {
  QUERN_ASSIGN_OR_RETURN(const arch::ArchSpec* spec, spec_of(file.metadata()));
  QUERN_ASSIGN_OR_RETURN(const int64_t n_tokens, vocabulary_length(file.metadata()));
  ModelSize size;
  QUERN_ASSIGN_OR_RETURN(size.hyper, arch::read_hyper_params(*spec, file.metadata(), n_tokens));
  QUERN_ASSIGN_OR_RETURN(const TensorTable table, check_tensors(*spec, size.hyper, file));
  const bool tied = table.find(TensorRole::kOutput) == nullptr;
  for (const arch::TensorRow& row : spec->tensors) {
    if (!row.applies(size.hyper)) continue;
    const int64_t n = row.per_layer() ? size.hyper.n_layers : 1;
    for (int64_t layer = 0; layer < n; ++layer) {
      for (const gguf::TensorInfo* tensor : table.parts(row.role, layer)) {
        if (tensor == nullptr) continue;
        const uint64_t bytes = bytes_of ? bytes_of(*tensor) : tensor->data.size();
        count_tensor(row, *tensor, bytes, tied, size);
      }
    }
  }
  size.work.n_experts = size.hyper.n_experts;
  size.work.n_experts_used = size.hyper.n_experts_used;
  size.work.attention_width =
      static_cast<uint64_t>(size.hyper.n_layers) * static_cast<uint64_t>(size.hyper.query_width());
  size.work.kv_bytes =
      bytes_per_page(size.hyper, kv_format) / static_cast<uint64_t>(graph::kPageTokens);
  return size;
}

uint64_t forward_scratch_bytes(const arch::HyperParams& hyper, int32_t max_tokens,
                               int32_t max_outputs) {
  const int64_t outputs = std::max(max_outputs, 1);
  const uint64_t always =
      2 * padded_floats(max_tokens, hyper.n_embedding) +
      2 * padded_floats(max_tokens, hyper.n_rot / 2) + padded_floats(outputs, hyper.n_embedding) +
      padded_floats(outputs, hyper.query_width()) + padded_floats(outputs, hyper.n_vocab);
  const uint64_t attention = padded_floats(max_tokens, hyper.query_width() + 2 * hyper.kv_width()) +
                             padded_floats(max_tokens, hyper.query_width());
  return always + std::max(attention, feed_forward_floats(hyper, max_tokens));
}

uint64_t adapter_scratch_bytes(std::span<const AdapterFacts> adapters, int32_t max_tokens,
                               int32_t max_outputs) {
  if (adapters.empty()) return 0;
  int64_t low = 0;
  int64_t product = 0;
  for (const AdapterFacts& facts : adapters) {
    low = std::max({low, max_tokens * facts.layers.rank, max_outputs * facts.output.rank});
    product =
        std::max({product, max_tokens * facts.layers.width, max_outputs * facts.output.width});
  }
  return std::max<uint64_t>(padded_floats(1, low) + padded_floats(1, product), 64);
}

Result<MemoryEstimate> estimate_memory(const ModelSize& model, const RunSize& run) {
  const arch::HyperParams& hyper = model.hyper;
  const int64_t context = run.context_tokens > 0 ? run.context_tokens : hyper.context_length;
  const uint64_t pages_each =
      (static_cast<uint64_t>(context) + graph::kPageTokens - 1) / graph::kPageTokens;
  const auto pages = checked_mul(pages_each, static_cast<uint64_t>(run.sequences));
  const auto kv = pages ? checked_mul(*pages, bytes_per_page(hyper, run.kv_format)) : std::nullopt;
  const auto both = kv ? checked_add(*kv, model.weight_bytes) : std::nullopt;
  if (!both) {
    return Error(ErrorKind::kOutOfMemory, std::to_string(run.sequences) + " sequences of " +
                                              std::to_string(context) +
                                              " tokens exceed any memory; ask for less");
  }
  const int32_t outputs = std::min(run.sequences, run.max_step_tokens);
  MemoryEstimate out;
  out.weights = model.weight_bytes;
  out.kv = *kv;
  out.scratch = forward_scratch_bytes(hyper, run.max_step_tokens, outputs) +
                padded_floats(outputs, hyper.n_vocab) +
                static_cast<uint64_t>(run.max_step_tokens) *
                    static_cast<uint64_t>(quantized_values(hyper)) * 2;
  return out;
}

}  // namespace quern::loader
