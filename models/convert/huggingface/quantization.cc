#include "models/convert/huggingface/quantization.h"

#include <utility>

#include "models/convert/huggingface/json_fields.h"
#include "models/convert/huggingface/packed_readers.h"
#include "models/convert/huggingface/scaled_readers.h"
#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

using safetensors::Checkpoint;
using safetensors::DType;
using safetensors::Tensor;

constexpr std::string_view kKnown =
    "; known are fp8, fbgemm_fp8, compressed-tensors (float-quantized), awq, gptq and "
    "bitsandbytes: "
    "convert the checkpoint that it was made from";

Error unsupported(const std::string& what) {
  return Error(ErrorKind::kUnsupported, "the weights are quantized by " + gguf::printable(what) +
                                            ", which cannot be read" + std::string(kKnown));
}

// A group of -1 is all inputs.
Result<uint64_t> read_group_size(const Json& config) {
  const Json* size = find_field(config, "group_size");
  if (size == nullptr || (size->is_number_integer() && size->get<int64_t>() == -1)) {
    return uint64_t{0};
  }
  if (size->is_number_unsigned() && size->get<uint64_t>() >= 1) return size->get<uint64_t>();
  return Error(ErrorKind::kInvalidInput,
               "quantization_config: 'group_size' is neither -1 nor a positive whole number");
}

Status read_gptq(const Json& config, Quantization& out) {
  out.method = QuantMethod::kGptq;
  QUERN_ASSIGN_OR_RETURN(const auto bits, find_uint(config, "bits"));
  out.bits = bits.value_or(0);
  if (out.bits != 2 && out.bits != 4 && out.bits != 8) {
    return unsupported("gptq with " + std::to_string(out.bits) + " bits (expected 2, 4 or 8)");
  }
  QUERN_ASSIGN_OR_RETURN(out.group_size, read_group_size(config));
  QUERN_ASSIGN_OR_RETURN(const auto format, find_text(config, "checkpoint_format"));
  const std::string name = format.value_or("gptq");
  if (name != "gptq" && name != "gptq_v2") return unsupported("gptq in the format " + name);
  out.zero_offset = name == "gptq" ? 1 : 0;
  return ok_status();
}

Status read_awq(const Json& config, Quantization& out) {
  out.method = QuantMethod::kAwq;
  // Older files say w_bit and q_group_size.
  QUERN_ASSIGN_OR_RETURN(auto bits, find_uint(config, "bits"));
  if (!bits) {
    QUERN_ASSIGN_OR_RETURN(bits, find_uint(config, "w_bit"));
  }
  out.bits = bits.value_or(4);
  if (out.bits != 4) {
    return unsupported("awq with " + std::to_string(out.bits) + " bits (expected 4)");
  }
  QUERN_ASSIGN_OR_RETURN(out.group_size, read_group_size(config));
  QUERN_ASSIGN_OR_RETURN(const auto version, find_text(config, "version"));
  const std::string name = version.value_or("gemm");
  if (name != "gemm" && name != "GEMM") return unsupported("awq in the version " + name);
  QUERN_ASSIGN_OR_RETURN(const auto zeros, find_bool(config, "zero_point"));
  if (!zeros.value_or(true)) return unsupported("awq without zero points");
  return ok_status();
}

Status read_fp8(const Json& config, Quantization& out) {
  out.method = QuantMethod::kFp8;
  QUERN_ASSIGN_OR_RETURN(const auto format, find_text(config, "fmt"));
  if (format.value_or("e4m3") != "e4m3") return unsupported(out.name + " as " + *format);
  const Json* size = find_field(config, "weight_block_size");
  if (size == nullptr) return ok_status();
  if (!size->is_array() || size->size() != 2 || !(*size)[0].is_number_unsigned() ||
      !(*size)[1].is_number_unsigned() || (*size)[0].get<uint64_t>() == 0 ||
      (*size)[1].get<uint64_t>() == 0) {
    return Error(ErrorKind::kInvalidInput,
                 "quantization_config: 'weight_block_size' is not a pair of positive numbers");
  }
  out.block_rows = (*size)[0].get<uint64_t>();
  out.block_cols = (*size)[1].get<uint64_t>();
  return ok_status();
}

Status read_compressed(const Json& config, Quantization& out) {
  QUERN_ASSIGN_OR_RETURN(const auto format, find_text(config, "format"));
  if (format.value_or("") != "float-quantized") {
    return unsupported("compressed-tensors in the format " + format.value_or("(none)"));
  }
  out.method = QuantMethod::kFp8;
  return ok_status();
}

}  // namespace

Result<Quantization> read_quantization(const Json& config) {
  Quantization out;
  const Json* found = find_field(config, "quantization_config");
  if (found == nullptr) return out;
  QUERN_ASSIGN_OR_RETURN(const auto method, find_text(*found, "quant_method"));
  // bitsandbytes did without for a while.
  const bool bits_and_bytes = find_field(*found, "load_in_4bit") != nullptr ||
                              find_field(*found, "load_in_8bit") != nullptr;
  out.name = method.value_or(bits_and_bytes ? "bitsandbytes" : "a method that it does not name");
  Status status;
  if (out.name == "gptq") {
    status = read_gptq(*found, out);
  } else if (out.name == "awq") {
    status = read_awq(*found, out);
  } else if (out.name == "fp8" || out.name == "fbgemm_fp8") {
    status = read_fp8(*found, out);
  } else if (out.name == "compressed-tensors") {
    status = read_compressed(*found, out);
  } else if (out.name == "bitsandbytes") {
    out.method = QuantMethod::kBitsAndBytes;
  } else {
    status = unsupported(out.name);
  }
  if (!status.ok()) return status.error();
  return out;
}

Result<StoredMatrix> open_matrix(const Checkpoint& checkpoint, const Quantization& quantization,
                                 const std::string& stem) {
  StoredMatrix matrix;
  if (checkpoint.find(stem + ".qweight") != nullptr) {
    if (quantization.method == QuantMethod::kGptq) return open_gptq(checkpoint, quantization, stem);
    if (quantization.method == QuantMethod::kAwq) return open_awq(checkpoint, quantization, stem);
    return Error(ErrorKind::kInvalidInput,
                 "'" + gguf::printable(stem) +
                     "' has a qweight, but config.json names neither gptq "
                     "nor awq in its quantization_config");
  }
  const Tensor* weight = checkpoint.find(stem + ".weight");
  if (weight == nullptr) return matrix;
  if (weight->dtype == DType::kF8E4M3) return open_fp8(checkpoint, quantization, stem);
  if (quantization.method == QuantMethod::kBitsAndBytes) {
    if (weight->dtype == DType::kI8) return open_int8(checkpoint, stem);
    if (weight->dtype == DType::kU8) return open_4bit(checkpoint, stem);
  }
  if (!safetensors::is_float(weight->dtype) || weight->data.empty()) {
    return Error(ErrorKind::kInvalidInput,
                 "tensor '" + gguf::printable(weight->name) + "' is " +
                     safetensors::describe(*weight) +
                     ", which is no weight by itself and config.json does not say what it means");
  }
  matrix.reader = plain_reader(*weight);
  matrix.tensors = {weight->name};
  return matrix;
}

}  // namespace quern::huggingface
