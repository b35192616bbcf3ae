// Rows of activations in the format Q8A (block_q8a.h): the 8-bit operand of every quantized matrix
// product. The arrays are separate, so that kernels load codes, scales and sums as vectors.
//
// This is the scalar reference. Faster rows must give the same bits for q, d and half_sums.
#pragma once

#include <cstdint>

#include "kernels/formats/block_q8a.h"

namespace quern::formats {

// Blocks that a vector of n activations takes (n is rounded up to a multiple of 32).
constexpr int64_t activation_blocks(int64_t n) { return (n + kQ8aValues - 1) / kQ8aValues; }

// Where one quantized vector lives; the caller owns the arrays. No alignment is required.
struct ActivationQ8 {
  int8_t* q = nullptr;           // 32 * activation_blocks(n) codes, in order
  float* d = nullptr;            // activation_blocks(n) scales: x is about q * d
  int16_t* half_sums = nullptr;  // 2 * activation_blocks(n) sums of 16 consecutive codes, exact
};

struct ConstActivationQ8 {
  const int8_t* q = nullptr;
  const float* d = nullptr;
  const int16_t* half_sums = nullptr;
};

// Quantizes x[0..n-1], n >= 0; the last block is padded with zeros. Reads nothing past x[n - 1].
void quantize_activations(const float* x, int64_t n, const ActivationQ8& out);

}  // namespace quern::formats
