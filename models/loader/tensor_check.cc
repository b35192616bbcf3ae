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

std::string expected_shape(const arch::TensorRow& row, const arch::HyperParams& hyper) {
  std::string numbers = "[" + std::to_string(arch::dim_value(row.cols, hyper));
  std::string words = "[" + std::string(arch::dim_text(row.cols));
  if (!row.is_vector()) {
    numbers += ", " + std::to_string(arch::dim_value(row.rows, hyper));
    words += ", " + std::string(arch::dim_text(row.rows));
  }
  return numbers + "], that is " + words + "]";
}

// Trailing dimensions of 1 are not compared with n_dims: writers may drop or keep them.
Status check_shape(const arch::TensorRow& row, const arch::HyperParams& hyper,
                   const gguf::TensorInfo& tensor) {
  const auto cols = static_cast<uint64_t>(arch::dim_value(row.cols, hyper));
  const auto n_rows = static_cast<uint64_t>(arch::dim_value(row.rows, hyper));
  if (tensor.dims[0] == cols && tensor.dims[1] == n_rows && tensor.dims[2] == 1 &&
      tensor.dims[3] == 1) {
    return ok_status();
  }
  return Error(ErrorKind::kInvalidInput,
               "tensor " + tensor.name + " (" + std::string(arch::role_text(row.role)) +
                   ") has the shape " + shape_text(tensor) + "; expected " +
                   expected_shape(row, hyper) +
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

bool is_expert_tensor(std::string_view name) {
  return name.find("_exps.") != std::string_view::npos ||
         name.find(".ffn_gate_inp.") != std::string_view::npos ||
         name.find("_shexp.") != std::string_view::npos;
}

// A dense model has none of these; a file with them and without expert_count is inconsistent.
Status check_no_experts(const arch::ArchSpec& spec, const gguf::GgufFile& file) {
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (is_expert_tensor(tensor.name)) {
      return Error(ErrorKind::kUnsupported,
                   "tensor " + tensor.name + " belongs to a mixture of experts, but " +
                       std::string(spec.name) +
                       ".expert_count is 0 or missing; mixtures of experts cannot run yet, use a "
                       "dense model");
    }
  }
  return ok_status();
}

std::string missing_text(const arch::TensorRow& row, const std::string& name,
                         const arch::HyperParams& hyper) {
  return "tensor " + name + " (" + std::string(arch::role_text(row.role)) +
         ") is missing; expected one of shape " + expected_shape(row, hyper) +
         "; the file is incomplete, get it again or convert it anew";
}

}  // namespace

Result<TensorTable> check_tensors(const arch::ArchSpec& spec, const arch::HyperParams& hyper,
                                  const gguf::GgufFile& file) {
  QUERN_RETURN_IF_ERROR(check_no_experts(spec, file));
  TensorTable table;
  std::unordered_set<const gguf::TensorInfo*> used;
  for (const arch::TensorRow& row : spec.tensors) {
    const int64_t count = row.per_layer() ? hyper.n_layers : 1;
    std::vector<const gguf::TensorInfo*> found;
    found.reserve(static_cast<size_t>(count));
    for (int64_t layer = 0; layer < count; ++layer) {
      const std::string name = row.name(layer);
      const gguf::TensorInfo* tensor = file.find_tensor(name);
      found.push_back(tensor);
      if (tensor == nullptr) {
        if (row.presence != arch::Presence::kRequired) continue;
        return Error(ErrorKind::kInvalidInput, missing_text(row, name, hyper));
      }
      QUERN_RETURN_IF_ERROR(check_shape(row, hyper, *tensor));
      QUERN_RETURN_IF_ERROR(check_format(row, *tensor));
      used.insert(tensor);
    }
    table.set(row.role, std::move(found));
  }
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!used.contains(&tensor)) table.unused.push_back(tensor.name);
  }
  return table;
}

}  // namespace quern::loader
