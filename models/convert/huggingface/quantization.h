// What quantization_config says about the weights of a checkpoint, and readers for the ways of
// storing them that are known here.
//
// A matrix that the method did not touch is stored plainly; that is told by its tensors. Decoding
// is exact: scale times integer as float, not rounded to the model's type. Sources: transformers,
// utils/quantization_config.py; the packages named at each reader.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/json.h"
#include "config/base/result.h"
#include "models/convert/huggingface/row_reader.h"
#include "models/safetensors/checkpoint.h"

namespace quern::huggingface {

enum class QuantMethod : uint8_t { kNone, kFp8, kAwq, kGptq, kBitsAndBytes };

struct Quantization {
  QuantMethod method = QuantMethod::kNone;
  std::string name;           // as the file says it; for messages
  uint64_t bits = 0;          // GPTQ: 2, 4 or 8; AWQ: 4
  uint64_t group_size = 0;    // inputs that share a scale; 0: all of them
  uint64_t zero_offset = 1;   // GPTQ: what a stored zero point lacks
  uint64_t block_rows = 128;  // FP8 with a scale per block
  uint64_t block_cols = 128;
};

// `config` is config.json. Methods and variants without a reader are kUnsupported, by name.
Result<Quantization> read_quantization(const Json& config);

// How "<stem>.weight" is stored, and which tensors it consists of.
struct StoredMatrix {
  std::unique_ptr<RowReader> reader;
  std::vector<std::string> tensors;
};

// Null reader when the checkpoint has no such matrix. Errors name the tensor: shapes and types that
// do not fit together, indexes outside their range.
Result<StoredMatrix> open_matrix(const safetensors::Checkpoint& checkpoint,
                                 const Quantization& quantization, const std::string& stem);

}  // namespace quern::huggingface
