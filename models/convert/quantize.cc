#include "models/convert/quantize.h"

#include <string>

#include "config/base/mapped_file.h"
#include "models/gguf/name_rules.h"

namespace quern::convert {
namespace {

// A tensor of a GGUF file.
class FileValues : public ValueSource {
 public:
  explicit FileValues(const gguf::TensorInfo& tensor)
      : tensor_(tensor), format_(formats::format_info(tensor.format)) {}

  void read(uint64_t first, uint64_t n, float* out) const override {
    const auto blocks = first / unit();
    format_.decode_row(tensor_.data.data() + blocks * static_cast<uint64_t>(format_.block_bytes),
                       out, static_cast<int64_t>(n));
  }
  uint64_t unit() const override { return static_cast<uint64_t>(format_.block_values); }

 private:
  const gguf::TensorInfo& tensor_;
  const formats::FormatInfo& format_;
};

Status write_tensor(const PlannedTensor& tensor, TensorEncoder& encoder) {
  const gguf::TensorInfo& from = *tensor.source;
  if (tensor.copied()) return encoder.copy(from.data, from.n_values());
  const FileValues values(from);
  return encoder.encode({.source = &values,
                         .name = from.name,
                         .format = tensor.format,
                         .n_values = from.n_values(),
                         .n_cols = from.dims[0],
                         .n_rows = from.dims[1],
                         .importance = tensor.importance});
}

}  // namespace

Status quantize_file(const gguf::GgufFile& file, const QuantizePlan& plan,
                     const QuantizeOptions& options, const std::filesystem::path& out) {
  const std::string label = gguf::printable(file.label(), 4096);
  QUERN_RETURN_IF_ERROR(check_room(out, plan.file_bytes));
  QUERN_ASSIGN_OR_RETURN(const auto output, plan.writer.create(out));
  TensorEncoder encoder(label, plan.n_weights, options, *output);
  for (const PlannedTensor& tensor : plan.tensors) {
    QUERN_RETURN_IF_ERROR(write_tensor(tensor, encoder));
    if (!file.poisoned()) continue;
    return went_away(label);
  }
  if (file.changed_on_disk()) {
    return Error(ErrorKind::kIo, label +
                                     ": was rewritten while it was read; try again when nobody "
                                     "writes to it");
  }
  return output->finish();
}

}  // namespace quern::convert
