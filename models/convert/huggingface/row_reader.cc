#include "models/convert/huggingface/row_reader.h"

#include <algorithm>
#include <utility>

#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

using safetensors::Tensor;

uint64_t columns_of(const Tensor& tensor) { return tensor.shape.empty() ? 1 : tensor.shape.back(); }

class PlainReader : public RowReader {
 public:
  explicit PlainReader(const Tensor& tensor)
      : RowReader(tensor.n_values() / columns_of(tensor), columns_of(tensor)), tensor_(tensor) {}

  void read_rows(std::span<const uint64_t> rows, float* out) const override {
    const uint64_t row_bytes = n_cols() * safetensors::dtype_bytes(tensor_.dtype);
    for (const uint64_t row : rows) {
      safetensors::decode_floats(tensor_.dtype, tensor_.data.data() + row * row_bytes, out,
                                 n_cols());
      out += n_cols();
    }
  }

 private:
  const Tensor& tensor_;
};

class ConstantReader : public RowReader {
 public:
  explicit ConstantReader(std::vector<float> values)
      : RowReader(1, values.size()), values_(std::move(values)) {}

  void read_rows(std::span<const uint64_t> rows, float* out) const override {
    for (size_t i = 0; i < rows.size(); ++i) out = std::copy(values_.begin(), values_.end(), out);
  }

 private:
  std::vector<float> values_;
};

}  // namespace

Error misfit(const Tensor& tensor, const std::string& expected) {
  return Error(ErrorKind::kInvalidInput, "tensor '" + gguf::printable(tensor.name) + "' is " +
                                             safetensors::describe(tensor) + "; expected " +
                                             expected +
                                             ": the checkpoint is damaged or of another kind than "
                                             "its quantization_config says");
}

std::unique_ptr<RowReader> plain_reader(const Tensor& tensor) {
  return std::make_unique<PlainReader>(tensor);
}

std::unique_ptr<RowReader> constant_reader(std::vector<float> values) {
  return std::make_unique<ConstantReader>(std::move(values));
}

}  // namespace quern::huggingface
