#include "models/loader/tensor_check.h"

#include <string_view>
#include <unordered_set>

namespace quern::loader {
namespace {

std::string shape_text(const gguf::TensorInfo& tensor) {
  std::string text = "[";
  for (int i = 0; i < tensor.n_dims; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(tensor.dims[static_cast<size_t>(i)]);
  }
  return text + "]";
}

std::string expected_shape(const arch::TensorRow& row, arch::Dim depth,
                           const arch::HyperParams& hyper) {
  std::string numbers = std::to_string(arch::dim_value(row.cols, hyper));
  std::string words(arch::dim_text(row.cols));
  for (const arch::Dim dim : {row.rows, depth}) {
    if (dim == arch::Dim::kNone) continue;
    numbers += ", " + std::to_string(arch::dim_value(dim, hyper));
    words += ", " + std::string(arch::dim_text(dim));
  }
  return "[" + numbers + "], that is [" + words + "]";
}

// Trailing dimensions of 1 are not compared with n_dims: writers may drop or keep them.
Status check_shape(const arch::TensorRow& row, arch::Dim depth, const arch::HyperParams& hyper,
                   const gguf::TensorInfo& tensor) {
  const auto size_of = [&](arch::Dim dim) {
    return static_cast<uint64_t>(arch::dim_value(dim, hyper));
  };
  if (tensor.dims[0] == size_of(row.cols) && tensor.dims[1] == size_of(row.rows) &&
      tensor.dims[2] == size_of(depth) && tensor.dims[3] == 1) {
    return ok_status();
  }
  return Error(ErrorKind::kInvalidInput,
               "tensor " + tensor.name + " (" + std::string(arch::role_text(row.role)) +
                   ") has the shape " + shape_text(tensor) + "; expected " +
                   expected_shape(row, depth, hyper) +
                   "; the tensors of the file do not fit its hyper-parameters, convert it anew");
}

Status check_format(const arch::TensorRow& row, const gguf::TensorInfo& tensor) {
  const formats::FormatInfo& format = formats::format_info(tensor.format);
  if (format.decode_row == nullptr) {
    return Error(ErrorKind::kUnsupported,
                 "tensor " + tensor.name + " is stored as " + std::string(format.name) +
                     ", which carries no weights; expected a float or quantized format");
  }
  if (row.is_vector() && format.family != formats::FormatFamily::kFloat) {
    return Error(ErrorKind::kUnsupported, "tensor " + tensor.name + " is stored as " +
                                              std::string(format.name) + "; a " +
                                              std::string(arch::role_text(row.role)) +
                                              " must be F32, F16 or BF16, convert the model anew");
  }
  return ok_status();
}

// "_exps", "_chexps", "_shexp", routers and their biases, and blk.0.ffn_up.7.weight.
bool is_expert_tensor(std::string_view name) {
  for (const std::string_view part : {"exps.", "_shexp.", ".ffn_gate_inp", ".exp_probs_b"}) {
    if (name.find(part) != std::string_view::npos) return true;
  }
  for (const std::string_view part : {".ffn_gate.", ".ffn_up.", ".ffn_down."}) {
    const size_t at = name.find(part);
    if (at == std::string_view::npos || at + part.size() >= name.size()) continue;
    const char next = name[at + part.size()];
    if (next >= '0' && next <= '9') return true;
  }
  return false;
}

// A dense model has none of these; a file with them and without expert_count is inconsistent.
Status check_no_experts(const arch::ArchSpec& spec, const gguf::GgufFile& file) {
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!is_expert_tensor(tensor.name)) continue;
    const std::string what = "tensor " + tensor.name + " belongs to a mixture of experts, but ";
    if (!spec.uses(arch::Dim::kExperts)) {
      return Error(ErrorKind::kUnsupported, what + "models of " + std::string(spec.name) +
                                                " run without experts only, use a dense model");
    }
    return Error(ErrorKind::kInvalidInput,
                 what + std::string(spec.name) + ".expert_count is 0 or missing; convert it anew");
  }
  return ok_status();
}

std::string missing_text(const arch::TensorRow& row, arch::Dim depth, const std::string& name,
                         const arch::HyperParams& hyper) {
  return "tensor " + name + " (" + std::string(arch::role_text(row.role)) +
         ") is missing; expected one of shape " + expected_shape(row, depth, hyper) +
         "; the file is incomplete, get it again or convert it anew";
}

class TensorChecker {
 public:
  TensorChecker(const arch::ArchSpec& spec, const arch::HyperParams& hyper,
                const gguf::GgufFile& file)
      : spec_(spec), hyper_(hyper), file_(file) {}

  Result<TensorTable> run() {
    if (hyper_.n_experts == 0) QUERN_RETURN_IF_ERROR(check_no_experts(spec_, file_));
    for (const arch::TensorRow& row : spec_.tensors) {
      if (row.applies(hyper_)) QUERN_RETURN_IF_ERROR(add_row(row));
    }
    for (const gguf::TensorInfo& tensor : file_.tensors()) {
      if (used_.contains(&tensor)) continue;
      QUERN_RETURN_IF_ERROR(check_unused(tensor));
      table_.unused.push_back(tensor.name);
    }
    return std::move(table_);
  }

 private:
  Status add_row(const arch::TensorRow& row) {
    const int64_t n_layers = row.per_layer() ? hyper_.n_layers : 1;
    // Of a file with a tensor for each expert, nothing is stacked.
    const bool split = row.is_stack() && file_.find_tensor(row.name(0)) == nullptr &&
                       file_.find_tensor(row.split_name(0, 0)) != nullptr;
    TensorTable::Entry entry{.tensors = {},
                             .n_parts = split ? static_cast<size_t>(hyper_.n_experts) : 1,
                             .per_layer = row.per_layer()};
    entry.tensors.reserve(static_cast<size_t>(n_layers) * entry.n_parts);
    for (int64_t layer = 0; layer < n_layers; ++layer) {
      for (int64_t part = 0; part < static_cast<int64_t>(entry.n_parts); ++part) {
        const std::string name = split ? row.split_name(layer, part) : row.name(layer);
        QUERN_ASSIGN_OR_RETURN(const gguf::TensorInfo* tensor,
                               find(row, split ? arch::Dim::kNone : row.depth(), name));
        entry.tensors.push_back(tensor);
      }
    }
    table_.set(row.role, std::move(entry));
    return ok_status();
  }

  // Null when it is absent and may be.
  Result<const gguf::TensorInfo*> find(const arch::TensorRow& row, arch::Dim depth,
                                       const std::string& name) {
    const gguf::TensorInfo* tensor = file_.find_tensor(name);
    if (tensor == nullptr) {
      if (row.presence != arch::Presence::kRequired) return tensor;
      return Error(ErrorKind::kInvalidInput, missing_text(row, depth, name, hyper_));
    }
    QUERN_RETURN_IF_ERROR(check_shape(row, depth, hyper_, *tensor));
    QUERN_RETURN_IF_ERROR(check_format(row, *tensor));
    used_.insert(tensor);
    return tensor;
  }

  // Unknown tensors are ignored, but not those that change what experts compute.
  Status check_unused(const gguf::TensorInfo& tensor) const {
    if (!is_expert_tensor(tensor.name)) return ok_status();
    return Error(ErrorKind::kUnsupported, "tensor " + tensor.name + " belongs to experts, but " +
                                              std::string(spec_.name) +
                                              " models use no such part here, so this model "
                                              "cannot run");
  }

  const arch::ArchSpec& spec_;
  const arch::HyperParams& hyper_;
  const gguf::GgufFile& file_;
  TensorTable table_;
  std::unordered_set<const gguf::TensorInfo*> used_;
};

}  // namespace

Result<TensorTable> check_tensors(const arch::ArchSpec& spec, const arch::HyperParams& hyper,
                                  const gguf::GgufFile& file) {
  return TensorChecker(spec, hyper, file).run();
}

}  // namespace quern::loader
