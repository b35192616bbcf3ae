// Values on their way into lanes: kBatch groups side by side, each block brought to about 1 by a
// power of two, importance likewise, and everything that is not a finite number made one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config/base/half.h"
#include "kernels/quantize/lanes-inl.h"

namespace quern::quantize {
namespace {

// Groups that are searched together: a multiple of every kLanes.
inline constexpr int kBatch = 16;

// Calls encode(values, importance or null, blocks, number of blocks) for pieces of a row that fill
// a batch: kBatch groups of `kValues` values.
template <typename Format, int kValues, typename Encode>
QUERN_LANE_PART void for_batches(const float* src, const float* importance, std::byte* dst,
                                 int64_t n_values, Encode encode) {
  using Block = typename Format::Block;  // packed: lies at any address
  constexpr int kBlocks = kBatch * kValues / Format::kBlockValues;
  const int64_t n_blocks = n_values / Format::kBlockValues;
  for (int64_t first = 0; first < n_blocks; first += kBlocks) {
    const int64_t left = n_blocks - first;
    const int64_t v = first * Format::kBlockValues;
    encode(src + v, importance == nullptr ? nullptr : importance + v,
           reinterpret_cast<Block*>(dst) + first,
           static_cast<int>(left < kBlocks ? left : kBlocks));
  }
}

// kValues values of each of kBatch groups; lane g of row j is value j of group g.
template <int kValues>
struct Batch {
  alignas(64) float x[kValues][kBatch];
  alignas(64) float w[kValues][kBatch];  // importance, in (0, 2) or 0; all 1 without
  alignas(64) float unit[kBatch];        // a power of two: x * unit is the value that was given
};

QUERN_LANE_PART float finite_or_end(float x) {
  constexpr float kMost = 0x1.fffffep127F;
  if (!(x == x)) return 0.0F;
  return x > kMost ? kMost : (x < -kMost ? -kMost : x);
}

// The largest power of two that is no larger than `peak`; 1 for peaks that no format can hold.
QUERN_LANE_PART float unit_of(float peak) {
  constexpr float kTiny = 1e-30F;
  if (peak < kTiny) return 1.0F;
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, peak) & 0x7F800000U);
}

QUERN_LANE_PART float peak_of(const float* x, int n) {
  float peak = 0.0F;
  for (int i = 0; i < n; ++i) {
    const float size = __builtin_fabsf(finite_or_end(x[i]));
    peak = size > peak ? size : peak;
  }
  return peak;
}

// Importance is relative within a block; one that is nowhere positive counts as none given.
struct Weighting {
  const float* importance;  // of the block, or null
  float inverse;
};

QUERN_LANE_PART Weighting weighting_of(const float* importance, int n) {
  if (importance == nullptr) return {nullptr, 1.0F};
  float peak = 0.0F;
  for (int i = 0; i < n; ++i) {
    const float size = finite_or_end(importance[i]);
    peak = size > peak ? size : peak;
  }
  if (!(peak > 0.0F)) return {nullptr, 1.0F};
  return {importance, 1.0F / unit_of(peak)};
}

QUERN_LANE_PART float weight_at(const Weighting& weighting, int i) {
  if (weighting.importance == nullptr) return 1.0F;
  const float w = finite_or_end(weighting.importance[i]) * weighting.inverse;
  return w > 0.0F ? w : 0.0F;
}

// Fills lanes [0, n_groups); the others hold zeros. `n_groups` are whole blocks of `per_block`
// groups. Importance may be null.
template <int kValues>
void load_batch(const float* src, const float* importance, int n_groups, int per_block,
                Batch<kValues>& batch) {
  if (n_groups < kBatch) {
    for (float& unit : batch.unit) unit = 1.0F;
    for (int j = 0; j < kValues; ++j) {
      for (int g = 0; g < kBatch; ++g) {
        batch.x[j][g] = 0.0F;
        batch.w[j][g] = 1.0F;
      }
    }
  }
  for (int first = 0; first < n_groups; first += per_block) {
    const float* x = src + first * kValues;
    const int n = per_block * kValues;
    const float unit = unit_of(peak_of(x, n));
    const float inverse = 1.0F / unit;
    const Weighting weighting =
        weighting_of(importance == nullptr ? nullptr : importance + first * kValues, n);
    for (int g = 0; g < per_block; ++g) {
      batch.unit[first + g] = unit;
      for (int j = 0; j < kValues; ++j) {
        batch.x[j][first + g] = finite_or_end(x[g * kValues + j]) * inverse;
        batch.w[j][first + g] = weight_at(weighting, g * kValues + j);
      }
    }
  }
}

// The codes of lane `g`, which are small whole numbers, as kValues bytes.
template <int kValues>
QUERN_LANE_PART void store_codes(const float (&codes)[kValues][kBatch], int g, uint8_t* out) {
  for (int j = 0; j < kValues; ++j) out[j] = static_cast<uint8_t>(static_cast<int>(codes[j][g]));
}

// A scale as the format keeps it, and what the decoder will make of it in units of the batch.
struct HalfScale {
  uint16_t bits;
  float value;
};

// Finite: an f16 that would be infinite becomes the largest one.
QUERN_LANE_PART HalfScale half_scale(float scale, float unit) {
  constexpr uint16_t kInfinite = 0x7C00;
  uint16_t bits = f32_to_f16(scale * unit);
  if ((bits & 0x7FFF) >= kInfinite) {
    bits = static_cast<uint16_t>((bits & 0x8000) | (kInfinite - 1));
  }
  return {bits, f16_to_f32(bits) / unit};
}

}  // namespace
}  // namespace quern::quantize
