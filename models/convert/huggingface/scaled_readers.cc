// Small side tensors (scales, maps) are copied out as floats when a reader is made; the weights
// stay in the mapping.
#include "models/convert/huggingface/scaled_readers.h"

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "config/base/checked.h"
#include "models/convert/huggingface/json_fields.h"
#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

using safetensors::Checkpoint;
using safetensors::DType;
using safetensors::Tensor;

Error missing(const std::string& name) {
  return Error(ErrorKind::kInvalidInput, "tensor '" + gguf::printable(name) +
                                             "' is missing: the checkpoint is incomplete, get it "
                                             "again");
}

// A float tensor of `n` values, of any shape.
Result<std::vector<float>> need_floats(const Checkpoint& checkpoint, const std::string& name,
                                       uint64_t n, StoredMatrix& matrix) {
  const Tensor* tensor = checkpoint.find(name);
  if (tensor == nullptr) return missing(name);
  if (!safetensors::is_float(tensor->dtype) || tensor->n_values() != n) {
    return misfit(*tensor, std::to_string(n) + " floats");
  }
  matrix.tensors.push_back(name);
  return safetensors::floats_of(*tensor);
}

class Fp8Reader : public RowReader {
 public:
  // One scale per block of rows x cols.
  Fp8Reader(const Tensor& weight, std::vector<float> scales, uint64_t block_rows,
            uint64_t block_cols)
      : RowReader(weight.shape[0], weight.shape[1]),
        weight_(weight),
        scales_(std::move(scales)),
        block_rows_(block_rows),
        block_cols_(block_cols),
        blocks_in_row_((n_cols() + block_cols - 1) / block_cols) {}

  void read_rows(std::span<const uint64_t> rows, float* out) const override {
    for (const uint64_t row : rows) {
      safetensors::decode_floats(weight_.dtype, weight_.data.data() + row * n_cols(), out,
                                 n_cols());
      const float* scales = scales_.data() + row / block_rows_ * blocks_in_row_;
      for (uint64_t c = 0; c < n_cols(); ++c) out[c] *= scales[c / block_cols_];
      out += n_cols();
    }
  }

 private:
  const Tensor& weight_;
  std::vector<float> scales_;
  uint64_t block_rows_;
  uint64_t block_cols_;
  uint64_t blocks_in_row_;
};

class Int8Reader : public RowReader {
 public:
  Int8Reader(const Tensor& weight, std::vector<float> scales)
      : RowReader(weight.shape[0], weight.shape[1]), weight_(weight), scales_(std::move(scales)) {}

  void read_rows(std::span<const uint64_t> rows, float* out) const override {
    constexpr float kStep = 7.874015718698502e-3F;  // 1 / 127, as bitsandbytes writes it
    for (const uint64_t row : rows) {
      const std::byte* from = weight_.data.data() + row * n_cols();
      for (uint64_t c = 0; c < n_cols(); ++c) {
        *out++ = static_cast<float>(load_unaligned<int8_t>(from + c)) * scales_[row] * kStep;
      }
    }
  }

 private:
  const Tensor& weight_;
  std::vector<float> scales_;
};

class FourBitReader : public RowReader {
 public:
  FourBitReader(const Tensor& weight, uint64_t n_rows, uint64_t n_cols, std::vector<float> map,
                std::vector<float> scales, uint64_t block)
      : RowReader(n_rows, n_cols),
        weight_(weight),
        map_(std::move(map)),
        scales_(std::move(scales)),
        block_(block) {}

  void read_rows(std::span<const uint64_t> rows, float* out) const override {
    for (const uint64_t row : rows) {
      for (uint64_t c = 0; c < n_cols(); ++c) {
        const uint64_t i = row * n_cols() + c;
        const auto pair = static_cast<uint8_t>(weight_.data[i / 2]);
        *out++ = map_[i % 2 == 0 ? pair >> 4 : pair & 15] * scales_[i / block_];
      }
    }
  }

 private:
  const Tensor& weight_;
  std::vector<float> map_;
  std::vector<float> scales_;
  uint64_t block_;
};

Status check_matrix(const Tensor& weight) {
  if (weight.shape.size() == 2 && !weight.data.empty()) return ok_status();
  return misfit(weight, "a matrix");
}

// The JSON of a quant_state tensor, checked.
struct FourBitState {
  uint64_t n_rows = 0;
  uint64_t n_cols = 0;
  uint64_t block = 0;
  uint64_t nested_block = 0;  // 0: absmax are floats
  float nested_offset = 0;
};

Result<uint64_t> positive(const Json& json, std::string_view key) {
  QUERN_ASSIGN_OR_RETURN(const auto value, find_uint(json, key));
  if (value && *value >= 1 && *value <= (1u << 24)) return *value;
  return Error(ErrorKind::kInvalidInput, "'" + std::string(key) +
                                             "' is missing or out of range; expected a whole "
                                             "number from 1 to 16777216");
}

Result<FourBitState> parse_state(const Tensor& tensor, bool nested) {
  const std::string_view text(reinterpret_cast<const char*>(tensor.data.data()),
                              tensor.data.size());
  JsonLimits limits;
  limits.max_bytes = 64 << 10;
  limits.max_depth = 8;
  QUERN_ASSIGN_OR_RETURN(const Json json, parse_json(text, limits));
  FourBitState state;
  const Json* shape = find_field(json, "shape");
  if (shape == nullptr || !shape->is_array() || shape->size() != 2 ||
      !(*shape)[0].is_number_unsigned() || !(*shape)[1].is_number_unsigned()) {
    return Error(ErrorKind::kInvalidInput, "'shape' is not a pair of whole numbers");
  }
  state.n_rows = (*shape)[0].get<uint64_t>();
  state.n_cols = (*shape)[1].get<uint64_t>();
  QUERN_ASSIGN_OR_RETURN(state.block, positive(json, "blocksize"));
  if (!nested) return state;
  QUERN_ASSIGN_OR_RETURN(state.nested_block, positive(json, "nested_blocksize"));
  QUERN_ASSIGN_OR_RETURN(const auto offset, find_number(json, "nested_offset"));
  state.nested_offset = static_cast<float>(offset.value_or(0));
  return state;
}

// Scales of the blocks; those that are bytes are looked up and scaled themselves.
Result<std::vector<float>> read_absmax(const Checkpoint& checkpoint, const std::string& weight,
                                       const FourBitState& state, uint64_t n,
                                       StoredMatrix& matrix) {
  const std::string name = weight + ".absmax";
  if (state.nested_block == 0) return need_floats(checkpoint, name, n, matrix);
  const Tensor& coded = *checkpoint.find(name);
  if (coded.n_values() != n) return misfit(coded, std::to_string(n) + " bytes");
  matrix.tensors.push_back(name);
  QUERN_ASSIGN_OR_RETURN(const auto map,
                         need_floats(checkpoint, weight + ".nested_quant_map", 256, matrix));
  const uint64_t n_nested = (n + state.nested_block - 1) / state.nested_block;
  QUERN_ASSIGN_OR_RETURN(const auto scales,
                         need_floats(checkpoint, weight + ".nested_absmax", n_nested, matrix));
  std::vector<float> out(n);
  for (uint64_t i = 0; i < n; ++i) {
    const float value = map[static_cast<uint8_t>(coded.data[i])] * scales[i / state.nested_block];
    out[i] = value + state.nested_offset;
  }
  return out;
}

}  // namespace

Result<StoredMatrix> open_fp8(const Checkpoint& checkpoint, const Quantization& quantization,
                              const std::string& stem) {
  const Tensor& weight = *checkpoint.find(stem + ".weight");
  QUERN_RETURN_IF_ERROR(check_matrix(weight));
  const Tensor* scale = checkpoint.find(stem + ".weight_scale_inv");
  if (scale == nullptr) scale = checkpoint.find(stem + ".weight_scale");
  if (scale == nullptr) return missing(stem + ".weight_scale_inv");
  const uint64_t rows = weight.shape[0];
  const uint64_t cols = weight.shape[1];
  const auto blocks = [](uint64_t n, uint64_t block) { return (n + block - 1) / block; };
  const std::vector<uint64_t> per_block = {blocks(rows, quantization.block_rows),
                                           blocks(cols, quantization.block_cols)};
  uint64_t block_rows = 0;
  uint64_t block_cols = cols;
  if (scale->data.empty() || !safetensors::is_float(scale->dtype)) {
    return misfit(*scale, "floats");
  }
  if (scale->n_values() == 1) {
    block_rows = rows;
  } else if (scale->n_values() == rows && scale->shape.front() == rows) {
    block_rows = 1;
  } else if (scale->shape == per_block) {
    block_rows = quantization.block_rows;
    block_cols = quantization.block_cols;
  } else {
    return misfit(*scale, "one scale, one per row, or [" + std::to_string(per_block[0]) + ", " +
                              std::to_string(per_block[1]) + "]");
  }
  StoredMatrix matrix;
  matrix.tensors = {weight.name, scale->name};
  // Of the activations, which are not quantized here.
  for (const char* unused : {".input_scale", ".activation_scale", ".input_scale_ub"}) {
    if (checkpoint.find(stem + unused) != nullptr) matrix.tensors.push_back(stem + unused);
  }
  matrix.reader =
      std::make_unique<Fp8Reader>(weight, safetensors::floats_of(*scale), block_rows, block_cols);
  return matrix;
}

Result<StoredMatrix> open_int8(const Checkpoint& checkpoint, const std::string& stem) {
  const Tensor& weight = *checkpoint.find(stem + ".weight");
  QUERN_RETURN_IF_ERROR(check_matrix(weight));
  StoredMatrix matrix;
  matrix.tensors = {weight.name};
  QUERN_ASSIGN_OR_RETURN(auto scales,
                         need_floats(checkpoint, stem + ".SCB", weight.shape[0], matrix));
  // Which layout of a GPU the bytes once had; those that are saved are in order (0).
  if (const Tensor* format = checkpoint.find(stem + ".weight_format")) {
    if (format->data.size() != 1 || format->data[0] != std::byte{0}) {
      return misfit(*format, "one byte, 0 (rows in order)");
    }
    matrix.tensors.push_back(format->name);
  }
  matrix.reader = std::make_unique<Int8Reader>(weight, std::move(scales));
  return matrix;
}

Result<StoredMatrix> open_4bit(const Checkpoint& checkpoint, const std::string& stem) {
  const std::string name = stem + ".weight";
  const Tensor& weight = *checkpoint.find(name);
  const Tensor* state_tensor = checkpoint.find(name + ".quant_state.bitsandbytes__nf4");
  if (state_tensor == nullptr) {
    state_tensor = checkpoint.find(name + ".quant_state.bitsandbytes__fp4");
  }
  if (state_tensor == nullptr) return missing(name + ".quant_state.bitsandbytes__nf4");
  const Tensor* absmax = checkpoint.find(name + ".absmax");
  if (absmax == nullptr) return missing(name + ".absmax");
  const auto state = parse_state(*state_tensor, absmax->dtype == DType::kU8);
  if (!state.ok()) return state.error().with_context("tensor '" + state_tensor->name + "'");
  const auto n_values = checked_mul(state->n_rows, state->n_cols);
  if (!n_values || *n_values == 0 || (*n_values + 1) / 2 != weight.data.size()) {
    return misfit(weight, "two values a byte of a matrix of " + std::to_string(state->n_rows) +
                              " x " + std::to_string(state->n_cols));
  }
  StoredMatrix matrix;
  matrix.tensors = {name, state_tensor->name};
  QUERN_ASSIGN_OR_RETURN(auto map, need_floats(checkpoint, name + ".quant_map", 16, matrix));
  const uint64_t n_blocks = (*n_values + state->block - 1) / state->block;
  QUERN_ASSIGN_OR_RETURN(auto scales, read_absmax(checkpoint, name, *state, n_blocks, matrix));
  matrix.reader = std::make_unique<FourBitReader>(weight, state->n_rows, state->n_cols,
                                                  std::move(map), std::move(scales), state->block);
  return matrix;
}

}  // namespace quern::huggingface
