// See peft_adapter.h.
#include "models/convert/huggingface/peft_adapter.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "config/base/check.h"
#include "models/arch/arch_spec.h"
#include "models/convert/huggingface/json_fields.h"
#include "models/convert/huggingface/model_class.h"
#include "models/convert/huggingface/peft_config.h"
#include "models/gguf/name_rules.h"
#include "models/gguf/reader.h"
#include "models/gguf/writer.h"
#include "models/safetensors/checkpoint.h"

namespace quern::huggingface {
namespace {

using arch::TensorRole;
using formats::FormatId;
using safetensors::DType;
using safetensors::Tensor;

constexpr uint64_t kMaxConfigBytes = uint64_t{1} << 20;

// Matrices that a delta can be added to (models/loader/adapter.cc).
constexpr TensorRole kAdaptable[] = {TensorRole::kQuery, TensorRole::kKey,
                                     TensorRole::kValue, TensorRole::kQkv,
                                     TensorRole::kGate,  TensorRole::kAttentionOutput,
                                     TensorRole::kUp,    TensorRole::kGateUp,
                                     TensorRole::kDown,  TensorRole::kOutput};
constexpr std::string_view kLayers = "layers.";
constexpr std::string_view kWeight = ".weight";

Error invalid(std::string message) { return Error(ErrorKind::kInvalidInput, std::move(message)); }
Error unsupported(std::string message) {
  return Error(ErrorKind::kUnsupported, std::move(message));
}

// The model that the adapter is for.
struct Base {
  std::shared_ptr<const gguf::GgufFile> file;
  const arch::ArchSpec* spec = nullptr;
  const ModelClass* model_class = nullptr;  // how checkpoints of the architecture name tensors
  arch::HyperParams hyper;
};

// A matrix of the base and what is added to it.
struct Delta {
  const gguf::TensorInfo* matrix = nullptr;
  Change change = Change::kNone;  // that the base went through
  const Tensor* a = nullptr;
  const Tensor* b = nullptr;
};
// By the module's name in the adapter.
using Deltas = std::map<std::string_view, Delta>;

const ModelClass* class_of(std::string_view architecture) {
  const auto classes = all_classes();
  const auto found = std::find_if(classes.begin(), classes.end(), [&](const ModelClass& known) {
    return known.arch == architecture;
  });
  return found == classes.end() ? nullptr : &*found;
}

Result<Base> open_base(const std::filesystem::path& path) {
  Base base;
  QUERN_ASSIGN_OR_RETURN(base.file, gguf::GgufFile::open(path));
  const gguf::Metadata& metadata = base.file->metadata();
  const auto read = [&]() -> Status {
    QUERN_ASSIGN_OR_RETURN(const auto name, metadata.get_string("general.architecture"));
    base.spec = arch::find_arch(name);
    if (base.spec == nullptr) {
      return unsupported("general.architecture is \"" + gguf::printable(name) +
                         "\"; expected one of " + arch::arch_names());
    }
    base.model_class = class_of(name);
    CHECK(base.model_class != nullptr);  // every architecture has one
    QUERN_ASSIGN_OR_RETURN(const auto* tokens,
                           metadata.find_array<std::string>("tokenizer.ggml.tokens"));
    if (tokens == nullptr) {
      return invalid("tokenizer.ggml.tokens is missing; expected the base model of the adapter");
    }
    QUERN_ASSIGN_OR_RETURN(
        base.hyper,
        arch::read_hyper_params(*base.spec, metadata, static_cast<int64_t>(tokens->size())));
    return ok_status();
  };
  const Status done = read();
  if (!done.ok()) return done.error().with_context(base.file->label());
  return base;
}

Result<PeftConfig> read_config(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "adapter_config.json";
  const std::string label = gguf::printable(path.string(), 4096);
  QUERN_ASSIGN_OR_RETURN(const auto text, read_text_file(path, kMaxConfigBytes));
  if (!text) {
    return Error(ErrorKind::kNotFound,
                 label + ": no such file; expected the settings of an adapter, as peft saves them");
  }
  auto config = parse_peft_config(*text);
  if (!config.ok()) return config.error().with_context(label);
  return config;
}

// A tensor's name cut into module and half.
struct HalfName {
  std::string_view module;  // "model.layers.3.self_attn.q_proj"
  bool is_a = false;
};

Result<HalfName> split_name(const Tensor& tensor) {
  constexpr std::string_view kPrefix = "base_model.model.";
  std::string_view rest = tensor.name;
  if (rest.starts_with(kPrefix)) rest.remove_prefix(kPrefix.size());
  for (const auto& [suffix, is_a] :
       {std::pair<std::string_view, bool>(".lora_A.weight", true), {".lora_B.weight", false}}) {
    if (rest.ends_with(suffix)) return HalfName{rest.substr(0, rest.size() - suffix.size()), is_a};
  }
  const std::string what = "tensor " + gguf::printable(tensor.name, 200);
  if (rest.find("lora_magnitude_vector") != std::string_view::npos) {
    return unsupported(what + " belongs to a DoRA adapter; merge it into the model");
  }
  if (rest.find("lora_embedding_") != std::string_view::npos) {
    return unsupported(what +
                       " changes the token embedding, which cannot be adapted; merge it "
                       "into the model");
  }
  return unsupported(what +
                     " is no half of a low-rank delta (lora_A.weight or lora_B.weight); save "
                     "the adapter without whole tensors (save_embedding_layers=False) or "
                     "merge it into the model");
}

// The layer in "model.layers.3.self_attn.q_proj", and what follows it.
std::optional<std::pair<int64_t, std::string_view>> split_layer(std::string_view module) {
  const size_t at = module.find(kLayers);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = module.substr(at + kLayers.size());
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  const auto n_digits = static_cast<size_t>(end - rest.data());
  if (error != std::errc() || n_digits >= rest.size() || rest[n_digits] != '.' || layer < 0) {
    return std::nullopt;
  }
  return std::pair(layer, rest.substr(n_digits + 1));
}

// The adaptable matrix whose module ends in `part`: what follows the layer's number, or the whole
// name of one outside the layers. Null when there is none.
const SourceTensor* find_source(const ModelClass& model_class, std::string_view part,
                                bool in_layer) {
  for (const SourceTensor& tensor : model_class.tensors) {
    if (std::find(std::begin(kAdaptable), std::end(kAdaptable), tensor.role) ==
        std::end(kAdaptable)) {
      continue;
    }
    std::string_view name = tensor.pattern.substr(0, tensor.pattern.size() - kWeight.size());
    const size_t hole = name.find("{}.");
    if ((hole != std::string_view::npos) != in_layer) continue;
    if (in_layer) name.remove_prefix(hole + 3);
    if (name == part) return &tensor;
  }
  return nullptr;
}

// The base's matrix of a module.
Result<Delta> find_matrix(std::string_view module, const Base& base) {
  const std::string what = "the adapter changes module " + gguf::printable(module, 200) + ", ";
  const auto in_layer = split_layer(module);
  const SourceTensor* known = in_layer ? find_source(*base.model_class, in_layer->second, true)
                                       : find_source(*base.model_class, module, false);
  if (known == nullptr) {
    return unsupported(what +
                       "but only matrices of the attention, the dense feed-forward part and the "
                       "output can be adapted; merge it into the model");
  }
  for (const arch::TensorRow& row : base.spec->tensors) {
    if (row.role != known->role) continue;
    const std::string name = row.name(in_layer ? in_layer->first : 0);
    const gguf::TensorInfo* matrix = base.file->find_tensor(name);
    if (matrix == nullptr) {
      return invalid(what + "but the base has no tensor " + name +
                     "; give the model that it was trained on as --base");
    }
    return Delta{.matrix = matrix, .change = known->change};
  }
  return invalid(what + "but models of " + std::string(base.spec->name) +
                 " have no such matrix; give the model that it was trained on as --base");
}

Status check_shapes(std::string_view module, const Delta& delta, const PeftConfig& config) {
  for (const Tensor* half : {delta.a, delta.b}) {
    if (half == nullptr) {
      return invalid("module " + gguf::printable(module, 200) + " has no " +
                     (delta.a == nullptr ? "lora_A" : "lora_B") +
                     ".weight; the adapter is incomplete, get it again");
    }
    if (half->shape.size() != 2 || half->n_values() == 0 || !safetensors::is_float(half->dtype)) {
      return invalid("tensor " + gguf::printable(half->name, 200) + " is " +
                     safetensors::describe(*half) + "; expected a matrix of floats");
    }
  }
  const uint64_t rank = delta.a->shape[0];
  if (delta.a->shape[1] != delta.matrix->dims[0] || delta.b->shape[0] != delta.matrix->dims[1] ||
      delta.b->shape[1] != rank) {
    return invalid("module " + gguf::printable(module, 200) + " has halves " +
                   safetensors::describe(*delta.a) + " and " + safetensors::describe(*delta.b) +
                   "; the base's " + delta.matrix->name + " needs [rank, " +
                   std::to_string(delta.matrix->dims[0]) + "] and [" +
                   std::to_string(delta.matrix->dims[1]) +
                   ", rank], so give the model that it was trained on as --base");
  }
  if (static_cast<int64_t>(rank) == config.rank) return ok_status();
  if (config.has_rank_pattern && !config.rank_stabilized) return ok_status();
  const std::string differs = "module " + gguf::printable(module, 200) + " has rank " +
                              std::to_string(rank) + ", adapter_config.json says r is " +
                              std::to_string(config.rank);
  if (!config.has_rank_pattern) return invalid(differs + "; get the adapter again");
  return unsupported(differs +
                     " and use_rslora is true: different ranks then need different alphas, which "
                     "a file cannot say; merge it into the model");
}

Result<Deltas> collect_deltas(const safetensors::Checkpoint& checkpoint, const Base& base,
                              const PeftConfig& config) {
  Deltas deltas;
  for (const Tensor& tensor : checkpoint.tensors()) {
    QUERN_ASSIGN_OR_RETURN(const HalfName name, split_name(tensor));
    auto found = deltas.find(name.module);
    if (found == deltas.end()) {
      QUERN_ASSIGN_OR_RETURN(const Delta fresh, find_matrix(name.module, base));
      found = deltas.emplace(name.module, fresh).first;
    }
    const Tensor*& half = name.is_a ? found->second.a : found->second.b;
    if (half != nullptr) {
      return invalid("tensors " + gguf::printable(half->name, 200) + " and " +
                     gguf::printable(tensor.name, 200) +
                     " are the same half; get the adapter "
                     "again");
    }
    half = &tensor;
  }
  if (deltas.empty()) return invalid("the file has no tensors; get the adapter again");
  std::map<const gguf::TensorInfo*, std::string_view> owners;
  for (const auto& [module, delta] : deltas) {
    QUERN_RETURN_IF_ERROR(check_shapes(module, delta, config));
    if (const auto [other, fresh] = owners.emplace(delta.matrix, module); !fresh) {
      return invalid("modules " + gguf::printable(other->second, 200) + " and " +
                     gguf::printable(module, 200) + " both change " + delta.matrix->name +
                     "; get the adapter again");
    }
  }
  return deltas;
}

Result<std::vector<float>> decode(const Tensor& tensor) {
  std::vector<float> values = safetensors::floats_of(tensor);
  const bool finite =
      std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
  if (finite) return values;
  return invalid("tensor " + gguf::printable(tensor.name, 200) +
                 " holds values that are no finite numbers; the training went wrong");
}

void pair_up_rows(std::vector<float>& values, uint64_t n_rows, uint64_t head_dim) {
  const uint64_t width = values.size() / n_rows;
  std::vector<float> out(values.size());
  for (uint64_t row = 0; row < n_rows; ++row) {
    std::copy_n(values.data() + unpaired(row, head_dim) * width, width, out.data() + row * width);
  }
  values = std::move(out);
}

FormatId format_of(DType dtype) {
  if (dtype == DType::kF16) return FormatId::kF16;
  return dtype == DType::kBF16 ? FormatId::kBF16 : FormatId::kF32;
}

// One half as the file is to hold it. Formats hold the values exactly.
Result<std::vector<std::byte>> encode_half(const Tensor& tensor, Change change,
                                           const arch::HyperParams& hyper) {
  QUERN_ASSIGN_OR_RETURN(std::vector<float> values, decode(tensor));
  if (change == Change::kPairUp) {
    const uint64_t n_rows = tensor.shape[0];
    const auto head_dim = static_cast<uint64_t>(hyper.head_dim);
    if (head_dim % 2 != 0 || n_rows % head_dim != 0) {
      return invalid("tensor " + gguf::printable(tensor.name, 200) + " has " +
                     std::to_string(n_rows) + " rows, which are no heads of " +
                     std::to_string(head_dim) +
                     " in whole pairs; give the model that it was trained on as --base");
    }
    pair_up_rows(values, n_rows, head_dim);
  }
  const formats::FormatInfo& format = formats::format_info(format_of(tensor.dtype));
  std::vector<std::byte> out(values.size() * static_cast<size_t>(format.block_bytes));
  format.encode_row(values.data(), out.data(), static_cast<int64_t>(values.size()));
  return out;
}

Status add_tensors(const Deltas& deltas, gguf::GgufWriter& writer) {
  for (const auto& [module, delta] : deltas) {
    const uint64_t dims_a[] = {delta.a->shape[1], delta.a->shape[0]};
    const uint64_t dims_b[] = {delta.b->shape[1], delta.b->shape[0]};
    const std::string& name = delta.matrix->name;
    QUERN_RETURN_IF_ERROR(writer.add_tensor(name + ".lora_a", format_of(delta.a->dtype), dims_a));
    QUERN_RETURN_IF_ERROR(writer.add_tensor(name + ".lora_b", format_of(delta.b->dtype), dims_b));
  }
  return ok_status();
}

void set_keys(const Base& base, const PeftConfig& config, const std::string& name,
              gguf::Metadata& metadata) {
  const double rank = static_cast<double>(config.rank);
  const double alpha = config.rank_stabilized ? config.alpha * std::sqrt(rank) : config.alpha;
  metadata.set("general.type", std::string("adapter"));
  metadata.set("general.architecture", std::string(base.spec->name));
  metadata.set("general.name", name);
  metadata.set("adapter.type", std::string("lora"));
  metadata.set("adapter.lora.alpha", static_cast<float>(alpha));
}

Status write_tensors(const Deltas& deltas, const Base& base, gguf::GgufOutput& output) {
  for (const auto& [module, delta] : deltas) {
    QUERN_ASSIGN_OR_RETURN(const auto a, encode_half(*delta.a, Change::kNone, base.hyper));
    QUERN_RETURN_IF_ERROR(output.write_tensor(a));
    QUERN_ASSIGN_OR_RETURN(const auto b, encode_half(*delta.b, delta.change, base.hyper));
    QUERN_RETURN_IF_ERROR(output.write_tensor(b));
  }
  return ok_status();
}

Status write_adapter(const safetensors::Checkpoint& checkpoint, const Base& base,
                     const PeftConfig& config, const std::filesystem::path& out_path,
                     AdapterReport& report) {
  QUERN_ASSIGN_OR_RETURN(const Deltas deltas, collect_deltas(checkpoint, base, config));
  report.n_matrices = deltas.size();
  gguf::GgufWriter writer;
  set_keys(base, config, report.name, writer.metadata());
  QUERN_RETURN_IF_ERROR(add_tensors(deltas, writer));
  QUERN_ASSIGN_OR_RETURN(const auto output, writer.create(out_path));
  QUERN_RETURN_IF_ERROR(write_tensors(deltas, base, *output));
  if (checkpoint.poisoned()) {
    return Error(ErrorKind::kIo,
                 "the file became shorter or unreadable while it was converted; check the disk "
                 "and try again");
  }
  return output->finish();
}

std::string name_of(const std::filesystem::path& directory) {
  const std::filesystem::path clean = directory.lexically_normal();
  return (clean.has_filename() ? clean : clean.parent_path()).filename().string();
}

}  // namespace

Result<AdapterReport> convert_peft_adapter(const std::filesystem::path& directory,
                                           const std::filesystem::path& base_path,
                                           const std::filesystem::path& out_path,
                                           const std::string& name) {
  QUERN_ASSIGN_OR_RETURN(const PeftConfig config, read_config(directory));
  QUERN_ASSIGN_OR_RETURN(const Base base, open_base(base_path));
  QUERN_ASSIGN_OR_RETURN(const auto checkpoint,
                         safetensors::Checkpoint::open(directory / "adapter_model.safetensors"));
  AdapterReport report;
  report.name = name.empty() ? name_of(directory) : name;
  report.architecture = base.spec->name;
  const Status written = write_adapter(*checkpoint, base, config, out_path, report);
  if (!written.ok()) {
    return written.error().with_context(gguf::printable(checkpoint->label(), 4096));
  }
  std::error_code failed;
  report.file_bytes = std::filesystem::file_size(out_path, failed);
  if (failed) return Error(ErrorKind::kIo, "the converted file disappeared: " + failed.message());
  return report;
}

}  // namespace quern::huggingface
