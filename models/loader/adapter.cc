// See adapter.h. Reads no tensor data.
#include "models/loader/adapter.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <new>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "models/graph/weights.h"

namespace quern::loader {
namespace {

constexpr std::string_view kSuffixA = ".lora_a";
constexpr std::string_view kSuffixB = ".lora_b";
constexpr std::string_view kOutputMatrix = "output.weight";

// Both tensors of a matrix; null as long as one has not been seen.
struct Pair {
  const gguf::TensorInfo* a = nullptr;
  const gguf::TensorInfo* b = nullptr;

  int64_t rank() const { return static_cast<int64_t>(a->dims[1]); }
};
// By the name of the matrix; ordered, so that the first error does not depend on chance.
using Pairs = std::map<std::string_view, Pair>;

Error invalid(std::string message) { return Error(ErrorKind::kInvalidInput, std::move(message)); }

std::string shape_text(const gguf::TensorInfo& tensor) {
  return "[" + std::to_string(tensor.dims[0]) + ", " + std::to_string(tensor.dims[1]) + "]";
}

Status check_matrix(const gguf::TensorInfo& tensor) {
  if (tensor.dims[2] != 1 || tensor.dims[3] != 1) {
    return invalid("tensor " + tensor.name +
                   " has more than two dimensions; adapters of stacked experts cannot be used");
  }
  const formats::FormatInfo& format = formats::format_info(tensor.format);
  if (format.decode_row == nullptr || !formats::row_bytes(format, tensor.dims[0])) {
    return invalid("tensor " + tensor.name + " is stored as " + std::string(format.name) +
                   "; expected F32, F16 or another format of weights that holds rows of " +
                   std::to_string(tensor.dims[0]) + " values, convert the adapter anew");
  }
  return ok_status();
}

Status check_pair(std::string_view matrix, const Pair& pair) {
  const std::string name(matrix);
  if (pair.a == nullptr || pair.b == nullptr) {
    return invalid("tensor " + name + std::string(pair.a == nullptr ? kSuffixA : kSuffixB) +
                   " is missing; an adapter has both halves of a matrix, get it again or convert "
                   "it anew");
  }
  QUERN_RETURN_IF_ERROR(check_matrix(*pair.a));
  QUERN_RETURN_IF_ERROR(check_matrix(*pair.b));
  if (pair.a->dims[1] != pair.b->dims[0]) {
    return invalid("tensors " + pair.a->name + " " + shape_text(*pair.a) + " and " + pair.b->name +
                   " " + shape_text(*pair.b) +
                   " do not go together; expected [inputs, rank] and [rank, outputs], convert the "
                   "adapter anew");
  }
  if (pair.a->dims[1] > static_cast<uint64_t>(kMaxAdapterRank)) {
    return Error(ErrorKind::kUnsupported,
                 "tensor " + pair.a->name + " has rank " + std::to_string(pair.a->dims[1]) +
                     "; expected at most " + std::to_string(kMaxAdapterRank));
  }
  return ok_status();
}

Result<Pairs> collect_pairs(const gguf::GgufFile& file) {
  Pairs pairs;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    const std::string_view name = tensor.name;
    const bool is_a = name.ends_with(kSuffixA);
    if (!is_a && !name.ends_with(kSuffixB)) {
      return Error(ErrorKind::kUnsupported,
                   "tensor " + tensor.name +
                       " is no half of a low-rank matrix (NAME.lora_a or NAME.lora_b); an adapter "
                       "that replaces whole tensors cannot be used, merge it into the model");
    }
    Pair& pair = pairs[name.substr(0, name.size() - kSuffixA.size())];
    (is_a ? pair.a : pair.b) = &tensor;
  }
  if (pairs.empty()) {
    return invalid("the adapter has no tensors; get it again or convert it anew");
  }
  for (const auto& [matrix, pair] : pairs) QUERN_RETURN_IF_ERROR(check_pair(matrix, pair));
  return pairs;
}

Status check_kind(const gguf::Metadata& metadata, std::string_view key, std::string_view expected) {
  QUERN_ASSIGN_OR_RETURN(const auto found, metadata.find_string(key));
  if (found == expected) return ok_status();
  return invalid(std::string(key) +
                 (found ? " is \"" + std::string(*found) + "\"" : " is missing") + "; expected \"" +
                 std::string(expected) +
                 "\", that is a LoRA adapter (`quern convert` makes one of a PEFT directory)");
}

Result<float> read_alpha(const gguf::Metadata& metadata) {
  constexpr std::string_view kKey = "adapter.lora.alpha";
  QUERN_ASSIGN_OR_RETURN(const std::optional<double> alpha, metadata.find_float(kKey));
  const auto value = static_cast<float>(alpha.value_or(0));
  if (std::isfinite(value)) return value;
  return invalid(std::string(kKey) + " is no finite number; convert the adapter anew");
}

Result<AdapterFacts> facts_of(const gguf::GgufFile& file, const Pairs& pairs) {
  AdapterFacts facts;
  QUERN_ASSIGN_OR_RETURN(const auto architecture,
                         file.metadata().get_string("general.architecture"));
  QUERN_ASSIGN_OR_RETURN(const auto name, file.metadata().find_string("general.name"));
  facts.architecture = architecture;
  facts.name = name ? std::string(*name) : std::filesystem::path(file.label()).stem().string();
  facts.file_bytes = file.file_bytes();
  QUERN_ASSIGN_OR_RETURN(facts.alpha, read_alpha(file.metadata()));
  facts.n_matrices = std::ssize(pairs);
  facts.min_rank = kMaxAdapterRank;
  for (const auto& [matrix, pair] : pairs) {
    facts.min_rank = std::min(facts.min_rank, pair.rank());
    facts.max_rank = std::max(facts.max_rank, pair.rank());
    AdapterExtent& extent = matrix == kOutputMatrix ? facts.output : facts.layers;
    extent.rank = std::max(extent.rank, pair.rank());
    extent.width = std::max(extent.width, static_cast<int64_t>(pair.b->dims[1]));
  }
  return facts;
}

Result<Pairs> check_file(const gguf::GgufFile& file) {
  QUERN_RETURN_IF_ERROR(check_kind(file.metadata(), "general.type", "adapter"));
  QUERN_RETURN_IF_ERROR(check_kind(file.metadata(), "adapter.type", "lora"));
  if (file.metadata().contains("adapter.alora.invocation_tokens")) {
    return Error(ErrorKind::kUnsupported,
                 "adapter.alora.invocation_tokens is there: an adapter that begins in the middle "
                 "of a text cannot be used; expected a plain LoRA adapter");
  }
  return collect_pairs(file);
}

using Matrices = std::unordered_map<std::string_view, const dispatch::Weight*>;

// The matrices that deltas can be added to, by their names in the model's file.
Matrices adaptable(const graph::DecoderWeights& weights) {
  Matrices out;
  const auto add = [&](const graph::Linear& linear) {
    if (linear.weight != nullptr) out.emplace(linear.weight->name, linear.weight.get());
  };
  add(weights.separate_output);
  for (const graph::LayerWeights& layer : weights.layers) {
    for (const graph::Linear& part : layer.qkv) add(part);
    add(layer.attention_output);
    for (const graph::Linear& part : layer.gate_up) add(part);
    add(layer.down);
  }
  return out;
}

Result<const dispatch::Weight*> find_matrix(const Matrices& matrices, std::string_view name,
                                            const Model& model) {
  const auto found = matrices.find(name);
  if (found != matrices.end()) return found->second;
  const std::string tensor(name);
  if (model.file().find_tensor(name) == nullptr) {
    return invalid("the adapter changes tensor " + tensor +
                   ", which the model does not have; it was made for another model");
  }
  return Error(ErrorKind::kUnsupported,
               "the adapter changes tensor " + tensor +
                   ", but only matrices of the attention, the dense feed-forward part and a "
                   "separate output can be adapted; merge it into the model");
}

Status check_fit(const Pair& pair, const dispatch::Weight& matrix) {
  const auto n_in = static_cast<uint64_t>(matrix.view.n_cols);
  const auto n_out = static_cast<uint64_t>(matrix.view.n_rows);
  if (pair.a->dims[0] == n_in && pair.b->dims[1] == n_out) return ok_status();
  return invalid("tensors " + pair.a->name + " " + shape_text(*pair.a) + " and " + pair.b->name +
                 " " + shape_text(*pair.b) + " do not fit the model's " + matrix.name + " [" +
                 std::to_string(n_in) + ", " + std::to_string(n_out) +
                 "]; the adapter was made for another model");
}

Result<std::unique_ptr<const dispatch::Weight>> load_half(const gguf::TensorInfo& tensor,
                                                          backend::Backend& backend) {
  const formats::FormatInfo& format = formats::format_info(tensor.format);
  const tensor::TensorView view{
      .data = tensor.data.data(),
      .format = &format,
      .n_rows = static_cast<int64_t>(tensor.dims[1]),
      .n_cols = static_cast<int64_t>(tensor.dims[0]),
      .row_bytes = static_cast<int64_t>(*formats::row_bytes(format, tensor.dims[0]))};
  return backend.load_weight(view, tensor.name);
}

Result<graph::LowRank> load_pair(const Pair& pair, float alpha, backend::Backend& backend) {
  graph::LowRank out;
  QUERN_ASSIGN_OR_RETURN(out.a, load_half(*pair.a, backend));
  QUERN_ASSIGN_OR_RETURN(out.b, load_half(*pair.b, backend));
  out.scale = alpha == 0 ? 1.0F : alpha / static_cast<float>(pair.rank());
  return out;
}

Result<std::shared_ptr<const graph::AdapterWeights>> bind_weights(
    std::shared_ptr<const gguf::GgufFile> file, const Pairs& pairs, const AdapterFacts& facts,
    const Model& model, backend::Backend& backend) {
  if (facts.architecture != model.facts().architecture) {
    return invalid("general.architecture is \"" + facts.architecture + "\", the model's is \"" +
                   model.facts().architecture + "\"; the adapter was made for another model");
  }
  auto weights = std::make_shared<graph::AdapterWeights>();
  weights->base = model.weights().get();
  const Matrices matrices = adaptable(*model.weights());
  for (const auto& [name, pair] : pairs) {
    QUERN_ASSIGN_OR_RETURN(const dispatch::Weight* matrix, find_matrix(matrices, name, model));
    QUERN_RETURN_IF_ERROR(check_fit(pair, *matrix));
    QUERN_ASSIGN_OR_RETURN(graph::LowRank delta, load_pair(pair, facts.alpha, backend));
    weights->deltas.emplace(matrix, std::move(delta));
  }
  using Owners = std::pair<std::shared_ptr<const gguf::GgufFile>,
                           std::shared_ptr<const graph::DecoderWeights>>;
  weights->storage = std::make_shared<const Owners>(std::move(file), model.weights());
  return std::shared_ptr<const graph::AdapterWeights>(std::move(weights));
}

}  // namespace

Result<AdapterFacts> read_adapter_facts(const gguf::GgufFile& file) {
  const auto read = [&]() -> Result<AdapterFacts> {
    QUERN_ASSIGN_OR_RETURN(const Pairs pairs, check_file(file));
    return facts_of(file, pairs);
  };
  auto facts = read();
  if (!facts.ok()) return facts.error().with_context(file.label());
  return facts;
}

Result<std::shared_ptr<const Adapter>> Adapter::load(std::shared_ptr<const gguf::GgufFile> file,
                                                     const Model& model,
                                                     backend::Backend& backend) {
  const std::string label = file->label();
  const auto load_checked = [&]() -> Result<std::shared_ptr<const Adapter>> {
    std::shared_ptr<Adapter> out(new Adapter());
    QUERN_ASSIGN_OR_RETURN(const Pairs pairs, check_file(*file));
    QUERN_ASSIGN_OR_RETURN(out->facts_, facts_of(*file, pairs));
    QUERN_ASSIGN_OR_RETURN(out->weights_, bind_weights(file, pairs, out->facts_, model, backend));
    out->file_ = std::move(file);
    return std::shared_ptr<const Adapter>(std::move(out));
  };
  try {
    auto loaded = load_checked();
    if (!loaded.ok()) return loaded.error().with_context(label);
    return loaded;
  } catch (const std::bad_alloc&) {
    return Error(ErrorKind::kOutOfMemory,
                 label + ": not enough memory to load the adapter; close other programs");
  }
}

}  // namespace quern::loader
