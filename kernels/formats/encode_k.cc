// Encoders of the K formats and Q8_1: every group gets the scale (and minimum) that spans its
// values, the block the f16 scale that spans the groups, and each value the nearest code.
//
// No search and no importance weights: good enough for tests, benchmarks and synthetic models.
// Codes are chosen against the scales as the decoder will read them.
#include <cmath>

#include "config/base/half.h"
#include "kernels/formats/decode.h"
#include "kernels/formats/encode.h"
#include "kernels/formats/encode_fit.h"
#include "kernels/formats/pack.h"

namespace quern::formats {
namespace {

constexpr int kBlock = 256;
constexpr int kMaxGroups = 16;

struct AffineScales {
  uint16_t d;
  uint16_t dmin;
  int scale[kMaxGroups];
  int min[kMaxGroups];
};

// Scales and minima as integers up to `limit` for groups of `group_values` with codes 0..q_max. A
// group's range always includes zero, as the minimum cannot be negative.
AffineScales affine_scales(const float* x, int group_values, int q_max, int limit) {
  float scale[kMaxGroups];
  float min[kMaxGroups];
  float max_scale = 0.0F;
  float max_min = 0.0F;
  const int n_groups = kBlock / group_values;
  for (int g = 0; g < n_groups; ++g) {
    float low = 0.0F;
    float high = 0.0F;
    for (int j = 0; j < group_values; ++j) {
      low = std::fmin(low, x[g * group_values + j]);
      high = std::fmax(high, x[g * group_values + j]);
    }
    scale[g] = (high - low) / static_cast<float>(q_max);
    min[g] = -low;
    max_scale = std::fmax(max_scale, scale[g]);
    max_min = std::fmax(max_min, min[g]);
  }
  AffineScales out{};
  out.d = f32_to_f16(max_scale / static_cast<float>(limit));
  out.dmin = f32_to_f16(max_min / static_cast<float>(limit));
  for (int g = 0; g < n_groups; ++g) {
    out.scale[g] = nearest_code(scale[g], f16_to_f32(out.d), 0, limit);
    out.min[g] = nearest_code(min[g], f16_to_f32(out.dmin), 0, limit);
  }
  return out;
}

}  // namespace

void encode_row_q2_k(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ2_K>(src, dst, n_values, [](const float* x, BlockQ2_K* block) {
    const AffineScales scales = affine_scales(x, 16, FormatQ2_K::kQMax, 15);
    block->d = scales.d;
    block->dmin = scales.dmin;
    for (int g = 0; g < 16; ++g) {
      block->scales[g] = static_cast<uint8_t>(scales.scale[g] | (scales.min[g] << 4));
    }
    int codes[kBlock];
    nearest_codes<FormatQ2_K>(*block, x, codes);
    pack_quads(codes, block->qs);
  });
}

void encode_row_q3_k(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ3_K>(src, dst, n_values, [](const float* x, BlockQ3_K* block) {
    int scale[16];
    block->d = signed_scales(x, 16, 16, FormatQ3_K::kQMin, 31, scale);
    for (int& code : scale) code += 32;
    pack_q3_k_scales(scale, block->scales);
    int codes[kBlock];
    nearest_codes<FormatQ3_K>(*block, x, codes);
    for (int& code : codes) code += 4;
    pack_q3_k_high(codes, block->hmask);
    pack_quads(codes, block->qs);
  });
}

void encode_row_q4_k(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ4_K>(src, dst, n_values, [](const float* x, BlockQ4_K* block) {
    const AffineScales scales = affine_scales(x, 32, FormatQ4_K::kQMax, 63);
    block->d = scales.d;
    block->dmin = scales.dmin;
    pack_k_scales(scales.scale, scales.min, block->scales);
    int codes[kBlock];
    nearest_codes<FormatQ4_K>(*block, x, codes);
    pack_paired_nibbles(codes, block->qs);
  });
}

void encode_row_q5_k(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ5_K>(src, dst, n_values, [](const float* x, BlockQ5_K* block) {
    const AffineScales scales = affine_scales(x, 32, FormatQ5_K::kQMax, 63);
    block->d = scales.d;
    block->dmin = scales.dmin;
    pack_k_scales(scales.scale, scales.min, block->scales);
    int codes[kBlock];
    nearest_codes<FormatQ5_K>(*block, x, codes);
    pack_paired_nibbles(codes, block->qs);
    pack_q5_k_high(codes, block->qh);
  });
}

void encode_row_q6_k(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ6_K>(src, dst, n_values, [](const float* x, BlockQ6_K* block) {
    int scale[16];
    block->d = signed_scales(x, 16, 16, FormatQ6_K::kQMin, 127, scale);
    for (int g = 0; g < 16; ++g) block->scales[g] = static_cast<int8_t>(scale[g]);
    int codes[kBlock];
    nearest_codes<FormatQ6_K>(*block, x, codes);
    for (int& code : codes) code += 32;
    pack_q6_k(codes, block->ql, block->qh);
  });
}

void encode_row_q8_k(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ8_K>(src, dst, n_values, [](const float* x, BlockQ8_K* block) {
    block->d = std::fabs(signed_peak(x, kBlock)) / 127.0F;
    for (int i = 0; i < 16; ++i) {
      int sum = 0;
      for (int v = 16 * i; v < 16 * i + 16; ++v) {
        const int code = nearest_code(x[v], block->d, -127, 127);
        block->q[v] = static_cast<int8_t>(code);
        sum += code;
      }
      block->bsums[i] = static_cast<int16_t>(sum);
    }
  });
}

void encode_row_q8_1(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatQ8_1>(src, dst, n_values, [](const float* x, BlockQ8_1* block) {
    const float d = std::fabs(signed_peak(x, 32)) / 127.0F;
    int sum = 0;
    for (int j = 0; j < 32; ++j) {
      const int code = nearest_code(x[j], d, -127, 127);
      block->q[j] = static_cast<int8_t>(code);
      sum += code;
    }
    block->d = f32_to_f16(d);
    block->s = f32_to_f16(d * static_cast<float>(sum));
  });
}

}  // namespace quern::formats
