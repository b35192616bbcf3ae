// Rows of activations in the format Q8A (block_q8a.h): the 8-bit operand of every quantized matrix
// product. The arrays are separate, so that kernels load codes, scales and sums as vectors.
//
// This is the scalar reference. Faster rows must give the same bits for q, d and half_sums.
#pragma once

#include <cstdint>

#include "kernels/formats/block_q8a.h"

namespace quern::formats {

// Blocks of `block_values` (32 or 256) that a vector of n activations takes.
constexpr int64_t activation_blocks(int64_t n, int block_values) {
  return (n + block_values - 1) / block_values;
}

// Where one quantized vector lives; the caller owns the arrays. No alignment is required.
struct ActivationQ8 {
  int8_t* q = nullptr;           // the codes of all blocks, in order
  float* d = nullptr;            // a scale per block: x is about q * d
  int16_t* half_sums = nullptr;  // sums of 16 consecutive codes, exact
};

struct ConstActivationQ8 {
  const int8_t* q = nullptr;
  const float* d = nullptr;
  const int16_t* half_sums = nullptr;
};

// Quantizes x[0..n-1], n >= 0, in blocks of `block_values` (32 or 256); the last block is padded
// with zeros. Reads nothing past x[n - 1].
void quantize_activations(const float* x, int64_t n, int block_values, const ActivationQ8& out);

}  // namespace quern::formats
