// Encoders of the float and simple formats.
//
// Bit-equal to the published reference encoders on finite input whose scale is a normal f16; where
// those leave the result to undefined conversions (NaN, infinity, a reciprocal that overflows), the
// codes saturate here.
#include <cmath>
#include <cstring>

#include "config/base/half.h"
#include "kernels/formats/encode.h"
#include "kernels/formats/encode_fit.h"
#include "kernels/formats/pack.h"

namespace quern::formats {
namespace {

constexpr int kValues = 32;  // per block of every simple format

template <typename Stored, typename Convert>
void convert_row(const float* src, std::byte* dst, int64_t n_values, Convert convert) {
  for (int64_t v = 0; v < n_values; ++v, dst += sizeof(Stored)) {
    const Stored stored = convert(src[v]);
    std::memcpy(dst, &stored, sizeof(Stored));
  }
}

// Truncates to an integer in [0, limit]; NaN gives 0.
int truncate_clamped(float value, int limit) {
  if (!(value > 0.0F)) return 0;
  return value >= static_cast<float>(limit) ? limit : static_cast<int>(value);
}

float reciprocal_or_zero(float d) { return d == 0.0F ? 0.0F : 1.0F / d; }

struct Range {
  float min;
  float max;
};

Range range_of(const float* x) {
  Range range{x[0], x[0]};
  for (int j = 1; j < kValues; ++j) {
    if (x[j] < range.min) range.min = x[j];
    if (x[j] > range.max) range.max = x[j];
  }
  return range;
}

// Codes of a format that is symmetric around 2^(bits-1): the peak maps to code 0 exactly.
uint16_t symmetric_codes(const float* x, int bits, int* codes) {
  const int half = 1 << (bits - 1);
  const float d = signed_peak(x, kValues) / static_cast<float>(-half);
  const float inverse = reciprocal_or_zero(d);
  for (int j = 0; j < kValues; ++j) {
    const float scaled = x[j] * inverse;
    codes[j] = truncate_clamped(scaled + (static_cast<float>(half) + 0.5F), 2 * half - 1);
  }
  return f32_to_f16(d);
}

struct AffineScale {
  uint16_t d;
  uint16_t m;
};

// Codes of a format with an offset: the smallest value maps to 0, the largest to 2^bits - 1.
AffineScale affine_codes(const float* x, int bits, int* codes) {
  const Range range = range_of(x);
  const int limit = (1 << bits) - 1;
  const float d = (range.max - range.min) / static_cast<float>(limit);
  const float inverse = reciprocal_or_zero(d);
  for (int j = 0; j < kValues; ++j) {
    const float scaled = (x[j] - range.min) * inverse;
    codes[j] = truncate_clamped(scaled + 0.5F, limit);
  }
  return {f32_to_f16(d), f32_to_f16(range.min)};
}

// Rounds half away from zero to [-127, 127]; NaN gives 0.
int8_t round_to_int8(float value) {
  const float magnitude = std::fabs(value);
  const float floored = std::floor(magnitude);
  const float rounded = floored + std::floor(2.0F * (magnitude - floored));
  const int limited = rounded <= 127.0F ? static_cast<int>(rounded) : (rounded > 127.0F ? 127 : 0);
  return static_cast<int8_t>(value < 0.0F ? -limited : limited);
}

}  // namespace

void encode_row_f32(const float* src, std::byte* dst, int64_t n_values) {
  convert_row<float>(src, dst, n_values, [](float x) { return x; });
}

void encode_row_f16(const float* src, std::byte* dst, int64_t n_values) {
  convert_row<uint16_t>(src, dst, n_values, [](float x) { return f32_to_f16(x); });
}

void encode_row_bf16(const float* src, std::byte* dst, int64_t n_values) {
  convert_row<uint16_t>(src, dst, n_values, [](float x) { return f32_to_bf16(x); });
}

void encode_row_f64(const float* src, std::byte* dst, int64_t n_values) {
  convert_row<double>(src, dst, n_values, [](float x) { return static_cast<double>(x); });
}

void encode_row_q4_0(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ4_0>(src, dst, n_values, [](const float* x, BlockQ4_0* block) {
    int codes[kValues];
    block->d = symmetric_codes(x, 4, codes);
    pack_nibbles(codes, block->qs);
  });
}

void encode_row_q4_1(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ4_1>(src, dst, n_values, [](const float* x, BlockQ4_1* block) {
    int codes[kValues];
    const AffineScale scale = affine_codes(x, 4, codes);
    block->d = scale.d;
    block->m = scale.m;
    pack_nibbles(codes, block->qs);
  });
}

void encode_row_q5_0(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ5_0>(src, dst, n_values, [](const float* x, BlockQ5_0* block) {
    int codes[kValues];
    block->d = symmetric_codes(x, 5, codes);
    pack_nibbles(codes, block->qs);
    pack_fifth_bits(codes, block->qh);
  });
}

void encode_row_q5_1(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ5_1>(src, dst, n_values, [](const float* x, BlockQ5_1* block) {
    int codes[kValues];
    const AffineScale scale = affine_codes(x, 5, codes);
    block->d = scale.d;
    block->m = scale.m;
    pack_nibbles(codes, block->qs);
    pack_fifth_bits(codes, block->qh);
  });
}

void encode_row_q8_0(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ8_0>(src, dst, n_values, [](const float* x, BlockQ8_0* block) {
    const float d = std::fabs(signed_peak(x, kValues)) / 127.0F;
    const float inverse = reciprocal_or_zero(d);
    block->d = f32_to_f16(d);
    for (int j = 0; j < kValues; ++j) block->q[j] = round_to_int8(x[j] * inverse);
  });
}

}  // namespace quern::formats
