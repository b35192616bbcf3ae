// Encoders of the ternary formats and of MXFP4: one magnitude per block fixes the scale, then every
// value takes the nearest code. Bit-equal to the published reference encoders on finite input.
#include <cmath>

#include "config/base/half.h"
#include "kernels/formats/encode.h"
#include "kernels/formats/encode_fit.h"
#include "kernels/formats/pack.h"

namespace quern::formats {
namespace {

// Digits 0, 1, 2 for -1, 0, 1 (half rounds away from zero); returns the scale.
uint16_t ternary_digits(const float* x, int* digits) {
  const float d = std::fabs(signed_peak(x, 256));
  const float inverse = d == 0.0F ? 0.0F : 1.0F / d;
  for (int j = 0; j < 256; ++j) {
    const float scaled = x[j] * inverse;
    digits[j] = 1 + (scaled >= 0.5F ? 1 : 0) - (scaled <= -0.5F ? 1 : 0);
  }
  return f32_to_f16(d);
}

// floor(log2(peak)) - 2, biased: the largest E2M1 magnitude, 6, then lies near the peak.
uint8_t mxfp4_exponent(float peak) {
  if (!(peak > 0.0F)) return 0;
  const float exponent = std::floor(std::log2(peak)) - 2.0F + 127.0F;
  if (exponent <= 0.0F) return 0;
  return exponent >= 254.0F ? uint8_t{254} : static_cast<uint8_t>(exponent);
}

int nearest_fp4(float x, float scale) {
  int best = 0;
  float best_error = std::fabs(scale * static_cast<float>(kFp4Values[0]) - x);
  for (int code = 1; code < 16; ++code) {
    const float error = std::fabs(scale * static_cast<float>(kFp4Values[code]) - x);
    if (error < best_error) {
      best = code;
      best_error = error;
    }
  }
  return best;
}

}  // namespace

void encode_row_tq1_0(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatTQ1_0>(src, dst, n_values, [](const float* x, BlockTQ1_0* block) {
    int digits[256];
    block->d = ternary_digits(x, digits);
    pack_tq1(digits, block->qs, block->qh);
  });
}

void encode_row_tq2_0(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatTQ2_0>(src, dst, n_values, [](const float* x, BlockTQ2_0* block) {
    int digits[256];
    block->d = ternary_digits(x, digits);
    pack_quads(digits, block->qs);
  });
}

void encode_row_mxfp4(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatMXFP4>(src, dst, n_values, [](const float* x, BlockMXFP4* block) {
    block->e = mxfp4_exponent(std::fabs(signed_peak(x, 32)));
    const float scale = e8m0_half_to_f32(block->e);
    for (int j = 0; j < 16; ++j) {
      block->qs[j] =
          static_cast<uint8_t>(nearest_fp4(x[j], scale) | (nearest_fp4(x[j + 16], scale) << 4));
    }
  });
}

}  // namespace quern::formats
