// Shapes are settled and group indexes are copied and checked when a reader is made, so that
// reading rows has nothing left to refuse.
#include "models/convert/huggingface/packed_readers.h"

#include <array>
#include <utility>
#include <vector>

#include "config/base/checked.h"
#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

using safetensors::Checkpoint;
using safetensors::DType;
using safetensors::Tensor;

constexpr uint64_t kWordBits = 32;
// Position in a word of each of eight outputs.
constexpr std::array<uint64_t, 8> kAwqNibble = {0, 4, 1, 5, 2, 6, 3, 7};

std::string shape_text(uint64_t rows, uint64_t cols) {
  return "[" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
}

struct Parts {
  const Tensor* qweight = nullptr;
  const Tensor* qzeros = nullptr;
  const Tensor* scales = nullptr;
  const Tensor* groups = nullptr;  // null: in order
  uint64_t n_inputs = 0;
  uint64_t n_outputs = 0;
  uint64_t bits = 0;
  std::vector<uint32_t> group_of;  // each input
};

Result<Parts> find_parts(const Checkpoint& checkpoint, const std::string& stem) {
  Parts parts;
  parts.qweight = checkpoint.find(stem + ".qweight");
  parts.qzeros = checkpoint.find(stem + ".qzeros");
  parts.scales = checkpoint.find(stem + ".scales");
  parts.groups = checkpoint.find(stem + ".g_idx");
  if (parts.qzeros == nullptr || parts.scales == nullptr) {
    return Error(ErrorKind::kInvalidInput, "'" + gguf::printable(stem) +
                                               "' has a qweight without qzeros and scales: the "
                                               "checkpoint is incomplete, get it again");
  }
  if (parts.qweight->dtype != DType::kI32 || parts.qweight->shape.size() != 2 ||
      parts.qweight->data.empty()) {
    return misfit(*parts.qweight, "I32 of two dimensions");
  }
  return parts;
}

// Zeros, scales and groups against the size of the matrix.
Status check_parts(const Quantization& quantization, Parts& parts) {
  const uint64_t per_word = kWordBits / parts.bits;
  const uint64_t size = quantization.group_size == 0 ? parts.n_inputs : quantization.group_size;
  if (parts.n_inputs > (1u << 24) || parts.n_outputs > (1u << 24) ||
      parts.n_outputs % per_word != 0) {
    return misfit(*parts.qweight, "a matrix of whole words");
  }
  const uint64_t n_groups = (parts.n_inputs + size - 1) / size;
  if (!safetensors::is_float(parts.scales->dtype) ||
      parts.scales->shape != std::vector<uint64_t>{n_groups, parts.n_outputs}) {
    return misfit(*parts.scales, "floats " + shape_text(n_groups, parts.n_outputs));
  }
  if (parts.qzeros->dtype != DType::kI32 ||
      parts.qzeros->shape != std::vector<uint64_t>{n_groups, parts.n_outputs / per_word}) {
    return misfit(*parts.qzeros, "I32 " + shape_text(n_groups, parts.n_outputs / per_word));
  }
  parts.group_of.resize(parts.n_inputs);
  for (uint64_t i = 0; i < parts.n_inputs; ++i) {
    parts.group_of[i] = static_cast<uint32_t>(i / size);
  }
  if (parts.groups == nullptr) return ok_status();
  if (parts.groups->dtype != DType::kI32 ||
      parts.groups->shape != std::vector<uint64_t>{parts.n_inputs}) {
    return misfit(*parts.groups, "I32 [" + std::to_string(parts.n_inputs) + "]");
  }
  for (uint64_t i = 0; i < parts.n_inputs; ++i) {
    const auto group = load_unaligned<int32_t>(parts.groups->data.data() + i * sizeof(int32_t));
    if (group < 0 || static_cast<uint64_t>(group) >= n_groups) {
      return misfit(*parts.groups,
                    "groups below " + std::to_string(n_groups) + ", not " + std::to_string(group));
    }
    parts.group_of[i] = static_cast<uint32_t>(group);
  }
  return ok_status();
}

std::vector<std::string> names_of(const Parts& parts) {
  std::vector<std::string> names = {parts.qweight->name, parts.qzeros->name, parts.scales->name};
  if (parts.groups != nullptr) names.push_back(parts.groups->name);
  return names;
}

// Scale and zero point of one output in each group.
struct Column {
  std::vector<float> scales;
  std::vector<float> zeros;
};

class PackedReader : public RowReader {
 public:
  explicit PackedReader(Parts parts)
      : RowReader(parts.n_outputs, parts.n_inputs), parts_(std::move(parts)) {}

 protected:
  const Parts& parts() const { return parts_; }
  uint32_t mask() const { return static_cast<uint32_t>((uint64_t{1} << parts_.bits) - 1); }

  uint32_t word(const Tensor& tensor, uint64_t row, uint64_t column) const {
    return load_unaligned<uint32_t>(tensor.data.data() +
                                    (row * tensor.shape[1] + column) * sizeof(uint32_t));
  }

  // `at` is the word of a zero point along the outputs, `shift` its lowest bit, `offset` what it
  // lacks.
  Column column(uint64_t output, uint64_t at, uint64_t shift, uint32_t offset) const {
    const uint64_t n_groups = parts_.scales->shape[0];
    Column out;
    out.scales.resize(n_groups);
    out.zeros.resize(n_groups);
    const uint64_t size = safetensors::dtype_bytes(parts_.scales->dtype);
    for (uint64_t group = 0; group < n_groups; ++group) {
      safetensors::decode_floats(
          parts_.scales->dtype,
          parts_.scales->data.data() + (group * parts_.n_outputs + output) * size,
          &out.scales[group], 1);
      const uint32_t stored = word(*parts_.qzeros, group, at) >> shift;
      out.zeros[group] = static_cast<float>((stored + offset) & mask());
    }
    return out;
  }

  float value(const Column& column, uint64_t input, uint32_t q) const {
    const uint32_t group = parts_.group_of[input];
    return column.scales[group] * (static_cast<float>(q) - column.zeros[group]);
  }

 private:
  Parts parts_;
};

class GptqReader : public PackedReader {
 public:
  GptqReader(Parts parts, uint64_t zero_offset)
      : PackedReader(std::move(parts)), zero_offset_(static_cast<uint32_t>(zero_offset)) {}

  // Words outside, rows inside: rows that follow each other lie in the same cache lines.
  void read_rows(std::span<const uint64_t> rows, float* out) const override {
    const uint64_t bits = parts().bits;
    const uint64_t per_word = kWordBits / bits;
    std::vector<Column> columns;
    for (const uint64_t row : rows) {
      columns.push_back(column(row, row / per_word, row % per_word * bits, zero_offset_));
    }
    for (uint64_t k = 0; k < n_cols() / per_word; ++k) {
      for (size_t r = 0; r < rows.size(); ++r) {
        const uint32_t packed = word(*parts().qweight, k, rows[r]);
        for (uint64_t i = 0; i < per_word; ++i) {
          const uint64_t input = k * per_word + i;
          out[r * n_cols() + input] = value(columns[r], input, (packed >> (i * bits)) & mask());
        }
      }
    }
  }

 private:
  uint32_t zero_offset_;
};

class AwqReader : public PackedReader {
 public:
  explicit AwqReader(Parts parts) : PackedReader(std::move(parts)) {}

  void read_rows(std::span<const uint64_t> rows, float* out) const override {
    std::vector<Column> columns;
    for (const uint64_t row : rows) columns.push_back(column(row, row / 8, shift_of(row), 0));
    for (uint64_t input = 0; input < n_cols(); ++input) {
      for (size_t r = 0; r < rows.size(); ++r) {
        const uint32_t packed = word(*parts().qweight, input, rows[r] / 8);
        out[r * n_cols() + input] =
            value(columns[r], input, (packed >> shift_of(rows[r])) & mask());
      }
    }
  }

 private:
  static uint64_t shift_of(uint64_t output) { return 4 * kAwqNibble[output % 8]; }
};

}  // namespace

Result<StoredMatrix> open_gptq(const Checkpoint& checkpoint, const Quantization& quantization,
                               const std::string& stem) {
  QUERN_ASSIGN_OR_RETURN(Parts parts, find_parts(checkpoint, stem));
  parts.bits = quantization.bits;
  // Rows of words cannot overflow: the words were counted in a file.
  parts.n_inputs = parts.qweight->shape[0] * (kWordBits / parts.bits);
  parts.n_outputs = parts.qweight->shape[1];
  QUERN_RETURN_IF_ERROR(check_parts(quantization, parts));
  StoredMatrix matrix;
  matrix.tensors = names_of(parts);
  matrix.reader = std::make_unique<GptqReader>(std::move(parts), quantization.zero_offset);
  return matrix;
}

Result<StoredMatrix> open_awq(const Checkpoint& checkpoint, const Quantization& quantization,
                              const std::string& stem) {
  QUERN_ASSIGN_OR_RETURN(Parts parts, find_parts(checkpoint, stem));
  parts.bits = quantization.bits;
  parts.n_inputs = parts.qweight->shape[0];
  parts.n_outputs = parts.qweight->shape[1] * (kWordBits / parts.bits);
  QUERN_RETURN_IF_ERROR(check_parts(quantization, parts));
  StoredMatrix matrix;
  matrix.tensors = names_of(parts);
  matrix.reader = std::make_unique<AwqReader>(std::move(parts));
  return matrix;
}

}  // namespace quern::huggingface
