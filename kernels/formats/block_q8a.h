// Q8A: activations in memory, 8 bits each, one f32 scale per block of 32 values, or of 256 beside
// weights whose format has super-blocks. Never in a file and not in format_list.inc. This header
// fixes the rounding of one block for all backends; arrays of blocks are in activation_q8.h.
//
// The rule, which every instruction set reproduces bit for bit (all operations single-rounding
// f32):
//   peak    = the largest of (bits of x[i]) & 0x7FFFFFFF as an integer, so its order is free
//   peak >= 0x7F800000 (an infinity or NaN in the block):  d = NaN (0x7FC00000), all q = 0
//   amax = peak as a float; amax < 2^-100:                 d = 0, all q = 0
//   else  d = amax / 127,  inverse = 127 / amax,  q[i] = round_half_to_even(x[i] * inverse)
//   half_sums[h] = q[16h] + .. + q[16h + 15]
//
// With amax >= 2^-100 neither quotient is subnormal, zero or infinite, and a subnormal x[i] always
// rounds to 0, so the result does not depend on flush-to-zero modes either. |q| <= 127: amax *
// inverse is at most 127 * (1 + 2^-23), which rounds to 127.
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

QUERN_CONST int kQ8aValues = 32;        // values per block
QUERN_CONST int kQ8aSuperValues = 256;  // values per block beside super-blocks
QUERN_CONST int kQ8aHalfValues = 16;    // values per entry of half_sums
QUERN_CONST float kQ8aTiny = 0x1p-100F;

// Quantizes one block of n values, a multiple of 16: reads x[0..n-1], writes q[0..n-1] and
// half_sums[0..n/16-1], returns d.
QUERN_FN float quantize_block_q8a(QUERN_LOCAL const float* x, int n, QUERN_LOCAL int8_t* q,
                                  QUERN_LOCAL int16_t* half_sums) {
  uint32_t peak = 0;
  for (int i = 0; i < n; ++i) {
    const uint32_t magnitude = bits_of_float(x[i]) & 0x7FFFFFFF;
    peak = magnitude > peak ? magnitude : peak;
  }
  const float amax = float_bits(peak);
  const bool finite = peak < 0x7F800000;
  if (!finite || amax < kQ8aTiny) {
    for (int i = 0; i < n; ++i) q[i] = 0;
    for (int h = 0; h < n / kQ8aHalfValues; ++h) half_sums[h] = 0;
    return finite ? 0.0F : float_bits(0x7FC00000);
  }
  const float inverse = 127.0F / amax;
  for (int h = 0; h < n / kQ8aHalfValues; ++h) {
    int sum = 0;
    for (int i = kQ8aHalfValues * h; i < kQ8aHalfValues * (h + 1); ++i) {
      const int32_t rounded = round_half_even(x[i] * inverse);
      q[i] = int8_t(rounded);
      sum += rounded;
    }
    half_sums[h] = int16_t(sum);
  }
  return amax / 127.0F;
}

}  // namespace quern::formats
