#include "models/convert/importance.h"

#include <cmath>
#include <utility>

#include "config/base/checked.h"
#include "models/gguf/name_rules.h"

namespace quern::convert {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";

Error wrong(std::string_view tensor, const std::string& what) {
  return Error(ErrorKind::kInvalidInput, "tensor '" + gguf::printable(tensor) + "' " + what);
}

float float_at(const gguf::TensorInfo& tensor, uint64_t i) {
  return load_unaligned<float>(tensor.data.data() + i * sizeof(float));
}

Status check_layout(const gguf::TensorInfo& sums, const gguf::TensorInfo* counts) {
  if (counts == nullptr) {
    return wrong(sums.name,
                 "has no counts beside it; the importance matrix is incomplete, make it "
                 "again");
  }
  for (const gguf::TensorInfo* tensor : {&sums, counts}) {
    if (tensor->format != formats::FormatId::kF32) {
      return wrong(tensor->name, "is " + std::string(formats::format_info(tensor->format).name) +
                                     ", expected F32 in an importance matrix");
    }
  }
  if (counts->n_values() != sums.n_rows()) {
    return wrong(counts->name, "has " + std::to_string(counts->n_values()) +
                                   " values, expected one for each of the " +
                                   std::to_string(sums.n_rows()) + " rows of the sums");
  }
  return ok_status();
}

Result<Importance> read_entry(const gguf::TensorInfo& sums, const gguf::TensorInfo& counts) {
  Importance entry;
  entry.n_columns = sums.dims[0];
  entry.n_matrices = sums.n_rows();
  entry.means.resize(sums.n_values(), 1.0F);
  for (uint64_t m = 0; m < entry.n_matrices; ++m) {
    const float count = float_at(counts, m);
    if (!(count > 0.0F)) ++entry.n_unseen;
    for (uint64_t i = m * entry.n_columns; i < (m + 1) * entry.n_columns; ++i) {
      const float sum = float_at(sums, i);
      if (!std::isfinite(sum) || sum < 0.0F || !std::isfinite(count)) {
        return wrong(sums.name,
                     "holds a value that is no sum of squares; the importance matrix "
                     "is damaged, make it again");
      }
      if (count > 0.0F) entry.means[i] = sum / count;
    }
  }
  return entry;
}

}  // namespace

const float* Importance::of(uint64_t matrix) const {
  return means.data() + (n_matrices == 1 ? 0 : matrix) * n_columns;
}

const Importance* ImportanceFile::find(std::string_view tensor) const {
  const auto found = entries_.find(tensor);
  return found == entries_.end() ? nullptr : &found->second;
}

Status ImportanceFile::read(const gguf::GgufFile& file) {
  const auto type = file.metadata().find_string("general.type");
  if (!type.ok() || !type->has_value() || **type != "imatrix") {
    return Error(
        ErrorKind::kInvalidInput,
        "general.type is not \"imatrix\"; expected an importance matrix as `quern imatrix` "
        "or llama-imatrix write it");
  }
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!tensor.name.ends_with(kSums)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - kSums.size());
    const gguf::TensorInfo* counts = file.find_tensor(name + std::string(kCounts));
    QUERN_RETURN_IF_ERROR(check_layout(tensor, counts));
    QUERN_ASSIGN_OR_RETURN(entries_[name], read_entry(tensor, *counts));
  }
  if (entries_.empty()) {
    return Error(ErrorKind::kInvalidInput,
                 "there is no tensor NAME.in_sum2; the importance matrix is empty, make it again");
  }
  const auto n_chunks = file.metadata().find_uint("imatrix.chunk_count");
  if (n_chunks.ok()) n_chunks_ = n_chunks->value_or(0);
  const auto datasets = file.metadata().find_array<std::string>("imatrix.datasets");
  if (datasets.ok() && *datasets != nullptr && !(*datasets)->empty()) {
    dataset_ = (*datasets)->front();
  }
  if (file.poisoned()) {
    return Error(ErrorKind::kIo,
                 "the file became shorter or unreadable while it was read: check "
                 "the disk and try again");
  }
  return ok_status();
}

Result<std::shared_ptr<const ImportanceFile>> ImportanceFile::open(
    const std::filesystem::path& path) {
  QUERN_ASSIGN_OR_RETURN(const auto file, gguf::GgufFile::open(path));
  std::shared_ptr<ImportanceFile> importance(new ImportanceFile());
  importance->label_ = file->label();
  const Status read = importance->read(*file);
  if (!read.ok()) return read.error().with_context(gguf::printable(file->label(), 4096));
  return std::shared_ptr<const ImportanceFile>(std::move(importance));
}

}  // namespace quern::convert
