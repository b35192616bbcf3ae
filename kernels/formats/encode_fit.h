// Pieces that the encoders share: walking blocks, finding peaks, choosing nearest codes.
//
// Nothing here traps on NaN or infinity; such values end at an end of the code range.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "config/base/half.h"
#include "kernels/formats/decode.h"

namespace quern::formats {

// Calls encode(const float* x, Block*) for each block of the row and stores what it filled.
template <typename Format, typename EncodeBlock>
void encode_blocks(const float* src, std::byte* dst, int64_t n_values, EncodeBlock encode) {
  using Block = typename Format::Block;
  for (int64_t v = 0; v < n_values; v += Format::kBlockValues, dst += sizeof(Block)) {
    Block block;
    encode(src + v, &block);
    std::memcpy(dst, &block, sizeof(Block));
  }
}

// The first value of largest magnitude, with its sign.
inline float signed_peak(const float* x, int n) {
  float peak = x[0];
  for (int j = 1; j < n; ++j) {
    if (std::fabs(x[j]) > std::fabs(peak)) peak = x[j];
  }
  return peak;
}

// round(value / scale) limited to [low, high] (low <= 0 <= high); 0 if the scale is 0.
inline int nearest_code(float value, float scale, int low, int high) {
  if (scale == 0.0F) return 0;
  const float quotient = value / scale;
  if (!(quotient > static_cast<float>(low))) return low;
  if (quotient >= static_cast<float>(high)) return high;
  return round_half_even(quotient);
}

// Integer scales in [-limit, limit] for n_groups groups whose peak shall meet the code q_min;
// returns the f16 scale of scales.
inline uint16_t signed_scales(const float* x, int n_groups, int group_values, int q_min, int limit,
                              int* scale) {
  float largest = 0.0F;
  for (int g = 0; g < n_groups; ++g) {
    largest = std::fmax(largest, std::fabs(signed_peak(x + g * group_values, group_values)));
  }
  const float per_code = 1.0F / static_cast<float>(q_min);
  const uint16_t d = f32_to_f16(largest * std::fabs(per_code) / static_cast<float>(limit));
  for (int g = 0; g < n_groups; ++g) {
    const float wanted = signed_peak(x + g * group_values, group_values) * per_code;
    scale[g] = nearest_code(wanted, f16_to_f32(d), -limit, limit);
  }
  return d;
}

// The nearest code of each value of a block whose scales are already stored.
template <typename Format>
void nearest_codes(const typename Format::Block& block, const float* x, int* codes) {
  for (int v = 0; v < Format::kBlockValues; ++v) {
    const int group = v / Format::kGroupValues;
    const float shifted = x[v] + group_min_or_zero<Format>(block, group);
    codes[v] =
        nearest_code(shifted, Format::group_scale(block, group), Format::kQMin, Format::kQMax);
  }
}

}  // namespace quern::formats
