// Matrices of 2, 4 or 8 bit integers packed into 32-bit words, as GPTQ and AWQ store them.
//
// W[out][in] = scales[group][out] * (q[in][out] - zero[group][out]), groups along the inputs.
//
//   GPTQ  qweight I32 [in * bits / 32, out], word k holds inputs k * 32 / bits ..., lowest bits
//         first; qzeros I32 [groups, out * bits / 32], likewise along the outputs; the stored zero
//         point lacks 1 (checkpoint_format "gptq", modulo 2^bits) or nothing ("gptq_v2"); g_idx I32
//         [in] names the group of each input, in any order (desc_act), and may be absent.
//   AWQ   ("gemm", 4 bits) qweight I32 [in, out / 8], nibble i of a word holds output
//         {0, 2, 4, 6, 1, 3, 5, 7}[i] of its eight; qzeros I32 [groups, out / 8] likewise.
//   both  scales F16, BF16 or F32 [groups, out].
// Sources: AutoGPTQ 0.7.1, nn_modules/qlinear/qlinear_cuda_old.py; AutoAWQ 0.2.9,
// awq/utils/packing_utils.py; GPTQModel's description of gptq_v2.
#pragma once

#include <string>

#include "config/base/result.h"
#include "models/convert/huggingface/quantization.h"

namespace quern::huggingface {

// Precondition: the checkpoint holds "<stem>.qweight".
Result<StoredMatrix> open_gptq(const safetensors::Checkpoint& checkpoint,
                               const Quantization& quantization, const std::string& stem);
Result<StoredMatrix> open_awq(const safetensors::Checkpoint& checkpoint,
                              const Quantization& quantization, const std::string& stem);

}  // namespace quern::huggingface
