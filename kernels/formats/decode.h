// Host templates that turn blocks into floats through a format's traits. This is the published
// definition of every format here: value = q * scale - min, multiply and subtract each rounded to
// f32 (no fused multiply-add), or to_float for float formats.
//
// Always inlined, so that files compiled for one instruction set may use them. The caller checks
// sizes; nothing here reads past n_values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/formats/portable.h"

namespace quern::formats {

// Whether the traits describe a quantized format (unpack_group, group_scale) and not a float or
// integer one.
template <typename Format>
inline constexpr bool kIsQuantized = Format::kGroupValues != 0;

template <typename Format>
inline constexpr int kGroupsPerBlock = Format::kBlockValues / Format::kGroupValues;

// The minimum of a group, or 0 for formats without one.
template <typename Format>
QUERN_FN float group_min_or_zero(const typename Format::Block& block, int group) {
  if constexpr (Format::kHasMin) {
    return Format::group_min(block, group);
  } else {
    return 0.0F;
  }
}

// Decodes one group of kGroupValues values.
template <typename Format>
QUERN_FN void decode_group(const typename Format::Block& block, int group, float* out) {
  int8_t q[Format::kGroupValues];
  Format::unpack_group(block, group, q);
  const float scale = Format::group_scale(block, group);
  if constexpr (Format::kHasMin) {
    const float min = Format::group_min(block, group);
    for (int i = 0; i < Format::kGroupValues; ++i) {
      const float product = static_cast<float>(q[i]) * scale;
      out[i] = product - min;
    }
  } else {
    for (int i = 0; i < Format::kGroupValues; ++i) out[i] = static_cast<float>(q[i]) * scale;
  }
}

// Decodes n_values, a multiple of kBlockValues, from `src` at any alignment.
template <typename Format>
QUERN_FN void decode_blocks(const std::byte* src, float* dst, int64_t n_values) {
  using Block = typename Format::Block;
  for (int64_t v = 0; v < n_values; v += Format::kBlockValues, src += sizeof(Block)) {
    Block block;
    std::memcpy(&block, src, sizeof(Block));
    if constexpr (kIsQuantized<Format>) {
      for (int g = 0; g < kGroupsPerBlock<Format>; ++g) {
        decode_group<Format>(block, g, dst + v + g * Format::kGroupValues);
      }
    } else {
      dst[v] = Format::to_float(block);
    }
  }
}

}  // namespace quern::formats
