// Encoders of the ternary formats and of MXFP4: one magnitude per block fixes the scale, then every
// value takes the nearest code. Bit-equal to the published reference encoders on finite input.
#include <cmath>

#include "config/base/half.h"
#include "kernels/formats/encode.h"
#include "kernels/formats/encode_fit.h"

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

// Up to five base-3 digits, `stride` apart, as the fixed-point fraction that TQ1_0 stores.
uint8_t pack_digits(const int* digits, int n_digits, int stride) {
  int number = 0;
  for (int n = 0; n < 5; ++n) number = 3 * number + (n < n_digits ? digits[n * stride] : 0);
  return static_cast<uint8_t>((number * 256 + 242) / 243);  // rounded up, so that digits truncate
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
    for (int i = 0; i < 32; ++i) block->qs[i] = pack_digits(digits + i, 5, 32);
    for (int i = 0; i < 16; ++i) block->qs[32 + i] = pack_digits(digits + 160 + i, 5, 16);
    for (int i = 0; i < 4; ++i) block->qh[i] = pack_digits(digits + 240 + i, 4, 4);
  });
}

void encode_row_tq2_0(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatTQ2_0>(src, dst, n_values, [](const float* x, BlockTQ2_0* block) {
    int digits[256];
    block->d = ternary_digits(x, digits);
    for (int i = 0; i < 64; ++i) {
      const int* first = digits + 128 * (i / 32) + i % 32;
      block->qs[i] =
          static_cast<uint8_t>(first[0] | (first[32] << 2) | (first[64] << 4) | (first[96] << 6));
    }
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
