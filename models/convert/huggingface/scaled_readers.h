// Matrices of small values with scales beside them: FP8, and what bitsandbytes stores.
//
//   FP8   weight F8_E4M3 [out, in]; weight_scale_inv or weight_scale, floats that multiply (in
//   spite
//         of the name): one for all, [out] or [out, 1], or one per block, [out / rows, in / cols]
//         rounded up.
//   INT8  weight I8 [out, in], SCB F32 [out]: w = q * SCB / 127.
//   NF4   weight U8, two values a byte, the first in the upper half; quant_map F32 [16] names their
//   FP4   values; absmax scales every `blocksize` of them (row after row), F32, or U8 through
//         nested_quant_map F32 [256] and nested_absmax F32 per `nested_blocksize`, plus
//         nested_offset. quant_state.bitsandbytes__nf4 (or fp4) is JSON with these numbers and the
//         shape.
// Sources: transformers, integrations/finegrained_fp8.py and fbgemm_fp8.py; bitsandbytes 0.50.2,
// functional.py (QuantState.as_dict, dequantize_4bit, int8_vectorwise_dequant).
#pragma once

#include <string>

#include "config/base/result.h"
#include "models/convert/huggingface/quantization.h"

namespace quern::huggingface {

// Precondition: the checkpoint holds "<stem>.weight", of type F8_E4M3.
Result<StoredMatrix> open_fp8(const safetensors::Checkpoint& checkpoint,
                              const Quantization& quantization, const std::string& stem);
// Precondition: "<stem>.weight" is I8.
Result<StoredMatrix> open_int8(const safetensors::Checkpoint& checkpoint, const std::string& stem);
// Precondition: "<stem>.weight" is U8.
Result<StoredMatrix> open_4bit(const safetensors::Checkpoint& checkpoint, const std::string& stem);

}  // namespace quern::huggingface
