#include "models/convert/quantize_plan.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_set>

#include "config/base/check.h"
#include "config/base/checked.h"
#include "kernels/quantize/encoder.h"
#include "models/arch/arch_spec.h"
#include "models/gguf/name_rules.h"

namespace quern::convert {
namespace {

using arch::TensorRole;
using formats::FormatId;
using gguf::TensorInfo;

constexpr uint32_t kQuantizationVersion = 2;  // of the block layouts; the one in use since 2023

// Parts of tensor names and what the recipes take them for; the first that is found counts. The
// matrices of experts are treated as those of a dense model. Source: llama.cpp, llama-quant.cpp.
struct NamedRole {
  std::string_view part;
  TensorRole role;
};
constexpr NamedRole kNamedRoles[] = {
    {"attn_qkv.weight", TensorRole::kQkv},
    {"attn_v.weight", TensorRole::kValue},
    {"attn_k.weight", TensorRole::kKey},
    {"attn_q.weight", TensorRole::kQuery},
    {"attn_output.weight", TensorRole::kAttentionOutput},
    {"ffn_up", TensorRole::kUp},
    {"ffn_gate", TensorRole::kGate},
    {"ffn_down", TensorRole::kDown},
};

// No role of a matrix: its format is the recipe's usual one.
constexpr TensorRole kNoRole = TensorRole::kCount;

TensorRole role_of(std::string_view name) {
  if (name == "output.weight") return TensorRole::kOutput;
  if (name == "token_embd.weight") return TensorRole::kTokenEmbedding;
  for (const NamedRole& row : kNamedRoles) {
    if (name.find(row.part) != std::string_view::npos) return row.role;
  }
  return kNoRole;
}

// Norms, biases and routers are small and decide much.
bool is_quantizable(const TensorInfo& tensor) {
  const std::string_view name = tensor.name;
  return tensor.n_dims >= 2 && name.ends_with("weight") &&
         name.find("_norm.weight") == std::string_view::npos &&
         name.find("ffn_gate_inp") == std::string_view::npos &&
         formats::format_info(tensor.format).decode_row != nullptr;
}

int64_t layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return 0;
  int64_t layer = 0;
  for (const char c : name.substr(kPrefix.size())) {
    if (c < '0' || c > '9' || layer > arch::kMaxLayers) break;
    layer = 10 * layer + (c - '0');
  }
  return layer;
}

// What the recipes need to know of a model, before anything checks it further.
struct ModelShape {
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t n_experts = 0;
};

// A number, or the first of a list with one per layer; nothing when absent.
Result<std::optional<int64_t>> first_number(const gguf::Metadata& metadata,
                                            const std::string& key) {
  const auto list = metadata.find_array<int32_t>(key);
  if (list.ok() && *list != nullptr && !(*list)->empty()) {
    return std::optional<int64_t>((*list)->front());
  }
  const auto unsigned_list = metadata.find_array<uint32_t>(key);
  if (unsigned_list.ok() && *unsigned_list != nullptr && !(*unsigned_list)->empty()) {
    return std::optional<int64_t>((*unsigned_list)->front());
  }
  return metadata.find_int(key);
}

Result<ModelShape> read_shape(const gguf::Metadata& metadata, const arch::ArchSpec& spec) {
  const std::string prefix = std::string(spec.name) + ".";
  ModelShape shape;
  struct Key {
    std::string_view name;
    int64_t ModelShape::*field;
  };
  for (const Key& key : {Key{"block_count", &ModelShape::n_layers},
                         Key{"attention.head_count", &ModelShape::n_heads},
                         Key{"attention.head_count_kv", &ModelShape::n_kv_heads},
                         Key{"expert_count", &ModelShape::n_experts}}) {
    QUERN_ASSIGN_OR_RETURN(const auto value,
                           first_number(metadata, prefix + std::string(key.name)));
    shape.*key.field = value.value_or(0);
  }
  if (shape.n_layers < 1 || shape.n_layers > arch::kMaxLayers || shape.n_heads < 1) {
    return Error(ErrorKind::kInvalidInput,
                 "keys '" + prefix + "block_count' and '" + prefix +
                     "attention.head_count' must be there and positive; the file is no model, or "
                     "damaged");
  }
  if (shape.n_kv_heads < 1) shape.n_kv_heads = shape.n_heads;
  return shape;
}

Result<const arch::ArchSpec*> find_spec(const gguf::Metadata& metadata) {
  QUERN_ASSIGN_OR_RETURN(const std::string_view name, metadata.get_string("general.architecture"));
  const arch::ArchSpec* spec = arch::find_arch(name);
  if (spec != nullptr) return spec;
  return Error(ErrorKind::kUnsupported, "architecture '" + gguf::printable(name) +
                                            "' cannot be quantized; known are " +
                                            arch::arch_names());
}

// Formats that a file can be quantized to: they carry weights and have an encoder.
bool is_target(FormatId format) { return quantize::find_encoder(format, {}) != nullptr; }

std::string target_names() {
  std::string text;
  for (const formats::FormatInfo& info : formats::all_formats()) {
    if (!is_target(info.id)) continue;
    text += (text.empty() ? "" : ", ") + std::string(info.name);
  }
  return text;
}

// Quantizing a file with a hole would only move the error to the one who loads it.
Status check_complete(const ModelOutline& model, const arch::ArchSpec& spec,
                      const ModelShape& shape) {
  arch::HyperParams hyper;
  hyper.n_experts = shape.n_experts;
  std::unordered_set<std::string_view> names;
  for (const TensorInfo& tensor : model.tensors) names.insert(tensor.name);
  for (const arch::TensorRow& row : spec.tensors) {
    if (row.presence != arch::Presence::kRequired || !row.applies(hyper)) continue;
    if (row.is_stack()) continue;  // old files name each expert's matrix instead
    const int64_t n = row.per_layer() ? shape.n_layers : 1;
    for (int64_t layer = 0; layer < n; ++layer) {
      const std::string name = row.name(layer);
      if (names.contains(name)) continue;
      return Error(ErrorKind::kInvalidInput, "tensor '" + name +
                                                 "' is missing, which models of architecture '" +
                                                 std::string(spec.name) +
                                                 "' have; the file is incomplete: convert or "
                                                 "download it again");
    }
  }
  return ok_status();
}

std::string dims_text(const TensorInfo& tensor) {
  std::string text = "[";
  for (int i = 0; i < tensor.n_dims; ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(tensor.dims[static_cast<size_t>(i)]);
  }
  return text + "]";
}

class Planner {
 public:
  Planner(const ModelOutline& model, const QuantizeChoices& choices, const ModelShape& shape)
      : model_(model),
        choices_(choices),
        shape_(shape),
        tied_output_(!model.has("output.weight")),
        used_(choices.overrides.size()) {}

  Result<QuantizePlan> run() {
    for (const TensorInfo& tensor : model_.tensors) {
      QUERN_ASSIGN_OR_RETURN(PlannedTensor planned, plan_tensor(tensor));
      plan_.n_weights += tensor.n_values();
      plan_.tensors.push_back(planned);
    }
    QUERN_RETURN_IF_ERROR(check_overrides());
    QUERN_RETURN_IF_ERROR(check_requantizing());
    QUERN_RETURN_IF_ERROR(check_importance());
    QUERN_RETURN_IF_ERROR(write_header());
    add_notes();
    return std::move(plan_);
  }

 private:
  Result<PlannedTensor> plan_tensor(const TensorInfo& tensor) {
    PlannedTensor planned;
    planned.source = &tensor;
    planned.format = tensor.format;
    if (const FormatOverride* forced = find_override(tensor)) {
      QUERN_RETURN_IF_ERROR(check_override(*forced, tensor));
      planned.format = forced->format;
      planned.reason = FormatReason::kOverride;
    } else if (is_quantizable(tensor)) {
      planned.format = recipe_format(*choices_.recipe, place_of(tensor));
      const FormatId wanted = wanted_format(*choices_.recipe, place_of(tensor));
      planned.reason = wanted == planned.format ? FormatReason::kRecipe : FormatReason::kFallback;
    }
    if (!planned.copied() && formats::format_info(planned.format).quantized()) {
      QUERN_ASSIGN_OR_RETURN(planned.importance, importance_of(tensor));
    }
    const auto bytes = formats::row_bytes(formats::format_info(planned.format), tensor.n_values());
    CHECK(bytes.has_value());
    planned.bytes = *bytes;
    return planned;
  }

  TensorPlace place_of(const TensorInfo& tensor) const {
    return {.role = role_of(tensor.name),
            .layer = layer_of(tensor.name),
            .n_cols = tensor.dims[0],
            .n_layers = shape_.n_layers,
            .n_heads = shape_.n_heads,
            .n_kv_heads = shape_.n_kv_heads,
            .n_experts = shape_.n_experts,
            .tied_output = tied_output_,
            .has_importance = choices_.importance != nullptr,
            .is_stack = tensor.dims[2] > 1};
  }

  const FormatOverride* find_override(const TensorInfo& tensor) {
    for (size_t i = 0; i < choices_.overrides.size(); ++i) {
      if (!pattern_matches(choices_.overrides[i].pattern, tensor.name)) continue;
      // A pattern as wide as "ffn" is meant for matrices.
      if (!is_quantizable(tensor)) continue;
      used_[i] = true;
      return &choices_.overrides[i];
    }
    return nullptr;
  }

  static Status check_override(const FormatOverride& forced, const TensorInfo& tensor) {
    const formats::FormatInfo& info = formats::format_info(forced.format);
    if (formats::row_bytes(info, tensor.dims[0]).has_value()) return ok_status();
    return Error(ErrorKind::kInvalidInput,
                 "tensor '" + tensor.name + "' has rows of " + std::to_string(tensor.dims[0]) +
                     " values, which are no whole blocks of " + std::to_string(info.block_values) +
                     " as " + std::string(info.name) +
                     " needs; name a format with smaller blocks for pattern '" + forced.pattern +
                     "'");
  }

  Status check_overrides() const {
    for (size_t i = 0; i < used_.size(); ++i) {
      if (used_[i]) continue;
      return Error(ErrorKind::kInvalidInput,
                   "pattern '" + gguf::printable(choices_.overrides[i].pattern) +
                       "' matches no matrix that an earlier pattern leaves; `quern inspect "
                       "--tensors` lists the names");
    }
    return ok_status();
  }

  Status check_requantizing() {
    uint64_t n = 0;
    const TensorInfo* first = nullptr;
    for (const PlannedTensor& tensor : plan_.tensors) {
      const formats::FormatInfo& from = formats::format_info(tensor.source->format);
      if (tensor.copied() || !from.quantized()) continue;
      if (n++ == 0) first = tensor.source;
    }
    if (n == 0) return ok_status();
    const std::string what = std::to_string(n) + " tensors are quantized already ('" + first->name +
                             "' is " + std::string(formats::format_info(first->format).name) +
                             "); their errors stay and those of the new formats are added to them";
    if (choices_.allow_requantize) {
      plan_.notes.push_back(what);
      return ok_status();
    }
    return Error(ErrorKind::kInvalidInput,
                 what +
                     ": start from a file in F16, BF16 or F32, or accept that with "
                     "--allow-requantize");
  }

  Result<const Importance*> importance_of(const TensorInfo& tensor) const {
    if (choices_.importance == nullptr) return static_cast<const Importance*>(nullptr);
    const Importance* entry = choices_.importance->find(tensor.name);
    if (entry == nullptr) return entry;
    const uint64_t n_matrices = tensor.dims[2] * tensor.dims[3];
    if (entry->n_columns == tensor.dims[0] &&
        (entry->n_matrices == 1 || entry->n_matrices == n_matrices)) {
      return entry;
    }
    return Error(ErrorKind::kInvalidInput, gguf::printable(choices_.importance->label(), 4096) +
                                               ": the importance of '" + tensor.name + "' is for " +
                                               std::to_string(entry->n_matrices) + " matrices of " +
                                               std::to_string(entry->n_columns) +
                                               " columns, but the tensor is " + dims_text(tensor) +
                                               "; it was made for another model");
  }

  Status check_importance() {
    if (choices_.importance == nullptr) return ok_status();
    uint64_t found = 0;
    uint64_t n_unseen = 0;
    std::string first_unseen;
    std::vector<std::string> missing;
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (tensor.copied() || !formats::format_info(tensor.format).quantized()) continue;
      if (tensor.importance != nullptr) {
        ++found;
        if (tensor.importance->n_unseen == 0) continue;
        if (n_unseen == 0) first_unseen = tensor.source->name;
        n_unseen += tensor.importance->n_unseen;
      } else if (tensor.source->name.starts_with("blk.")) {
        missing.push_back(tensor.source->name);
      }
    }
    if (found == 0 && !missing.empty()) {
      return Error(ErrorKind::kInvalidInput,
                   gguf::printable(choices_.importance->label(), 4096) + ": has " +
                       std::to_string(choices_.importance->size()) +
                       " entries and none for a matrix of this model, such as '" + missing.front() +
                       "'; it was made for another model");
    }
    if (n_unseen > 0) {
      plan_.notes.push_back("the importance matrix was made without a token for " +
                            std::to_string(n_unseen) + " matrices of experts (some of '" +
                            first_unseen + "' for one): their columns count alike");
    }
    if (!missing.empty()) {
      plan_.notes.push_back("the importance matrix has nothing on " +
                            std::to_string(missing.size()) + " matrices ('" + missing.front() +
                            "' for one): their columns count alike");
    }
    return ok_status();
  }

  Status write_header() {
    gguf::Metadata& metadata = plan_.writer.metadata();
    for (const auto& [key, value] : model_.metadata.entries()) {
      if (!key.starts_with("split.")) metadata.set(key, value);
    }
    metadata.set("general.quantization_version", kQuantizationVersion);
    metadata.set("general.file_type", choices_.recipe->number);
    if (choices_.importance != nullptr) {
      const ImportanceFile& from = *choices_.importance;
      metadata.set("quantize.imatrix.file",
                   std::filesystem::path(from.label()).filename().string());
      metadata.set("quantize.imatrix.dataset", from.dataset());
      metadata.set("quantize.imatrix.entries_count", static_cast<uint32_t>(from.size()));
      metadata.set("quantize.imatrix.chunks_count", static_cast<uint32_t>(from.n_chunks()));
    }
    for (const PlannedTensor& tensor : plan_.tensors) {
      const auto n_dims = static_cast<size_t>(tensor.source->n_dims);
      QUERN_RETURN_IF_ERROR(plan_.writer.add_tensor(tensor.source->name, tensor.format,
                                                    std::span(tensor.source->dims).first(n_dims)));
    }
    QUERN_ASSIGN_OR_RETURN(const auto header, plan_.writer.header());
    plan_.file_bytes = header.size();
    for (const PlannedTensor& tensor : plan_.tensors) {
      const auto padded = checked_align_up(tensor.bytes, model_.alignment);
      const auto sum = padded ? checked_add(plan_.file_bytes, *padded) : std::nullopt;
      CHECK(sum.has_value());  // the header was written with these sizes
      plan_.file_bytes = *sum;
    }
    return ok_status();
  }

  void add_notes() {
    const auto n_fallbacks = std::count_if(
        plan_.tensors.begin(), plan_.tensors.end(),
        [](const PlannedTensor& tensor) { return tensor.reason == FormatReason::kFallback; });
    if (n_fallbacks > 0) {
      plan_.notes.push_back(std::to_string(n_fallbacks) +
                            " matrices have rows that are no whole blocks of their recipe's "
                            "format and get a larger one (\"fallback\" in --dry-run)");
    }
    if (choices_.importance != nullptr) return;
    const auto few_bits =
        std::find_if(plan_.tensors.begin(), plan_.tensors.end(), [](const PlannedTensor& tensor) {
          const formats::FormatInfo& info = formats::format_info(tensor.format);
          return !tensor.copied() && info.family == formats::FormatFamily::kIq &&
                 info.bits_per_value() < 3.3;
        });
    if (few_bits == plan_.tensors.end()) return;
    plan_.notes.push_back(std::string(formats::format_info(few_bits->format).name) +
                          " without an importance matrix (--imatrix) costs much quality");
  }

  const ModelOutline& model_;
  const QuantizeChoices& choices_;
  const ModelShape& shape_;
  bool tied_output_;
  std::vector<bool> used_;  // overrides
  QuantizePlan plan_;
};

}  // namespace

std::string_view reason_text(FormatReason reason) {
  static constexpr std::array<std::string_view, 4> kTexts = {"kept", "recipe", "override",
                                                             "fallback"};
  return kTexts[static_cast<size_t>(reason)];
}

bool pattern_matches(std::string_view pattern, std::string_view name) {
  if (pattern.find('*') == std::string_view::npos) {
    return name.find(pattern) != std::string_view::npos;
  }
  // Greedy with one point to come back to: the last star seen and how much it covers.
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;
  size_t covered = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      covered = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++covered;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<FormatOverride> parse_override(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0) {
    return Error(ErrorKind::kInvalidInput, "'" + gguf::printable(text) +
                                               "' is no override; expected PATTERN=FORMAT, such as "
                                               "ffn_down=Q6_K or 'blk.0.*=Q8_0'");
  }
  const std::string_view name = text.substr(equals + 1);
  const formats::FormatInfo* format = formats::find_format_by_name(name);
  if (format == nullptr || !is_target(format->id)) {
    return Error(ErrorKind::kInvalidInput,
                 "'" + gguf::printable(text) + "': format '" + gguf::printable(name) +
                     "' cannot be written; expected one of " + target_names());
  }
  return FormatOverride{std::string(text.substr(0, equals)), format->id};
}

bool ModelOutline::has(std::string_view name) const {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const TensorInfo& tensor) { return tensor.name == name; });
}

Result<QuantizePlan> plan_quantization(const ModelOutline& model, const QuantizeChoices& choices) {
  CHECK(choices.recipe != nullptr);
  QUERN_ASSIGN_OR_RETURN(const arch::ArchSpec* spec, find_spec(model.metadata));
  QUERN_ASSIGN_OR_RETURN(const ModelShape shape, read_shape(model.metadata, *spec));
  QUERN_RETURN_IF_ERROR(check_complete(model, *spec, shape));
  return Planner(model, choices, shape).run();
}

Result<QuantizePlan> plan_quantization(const gguf::GgufFile& file, const QuantizeChoices& choices) {
  return plan_quantization(ModelOutline{file.metadata(), file.tensors(), file.alignment()},
                           choices);
}

}  // namespace quern::convert
