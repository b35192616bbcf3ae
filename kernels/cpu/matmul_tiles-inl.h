// Multiplies a panel with 16 columns at a time by tile products (AMX-INT8).
//
// The order of the contract leaves a tile product one group of weights: its 16 x 16 exact sums must
// be scaled before the next group's are added. With 32 values to a group that uses half of a tile's
// depth; with 16 it would use a quarter and pay the same for storing and scaling the sums, so those
// formats stay with the dot products. The scaling is the arithmetic of multiply_panel.
//
// Included after a tile unit (tile_amx.h, or the tests' emulation) and vec_avx512.h.
#pragma once

#include "kernels/cpu/panel_columns-inl.h"

namespace quern::cpu {
namespace {

inline constexpr int kTileColumns = 16;

struct TileSums {
  alignas(64) int32_t of[2][kTileColumns][kPanelRows];  // group, column, row
};

// The sums of group g, and of g + 1 if count is 2.
template <int count>
QUERN_PART void tile_products(const Panel& panel, int g, const PanelColumns& x, TileSums& sums) {
  constexpr int kGroupBytes = 32 * kPanelRows;
  const uint8_t* w = panel.q + g * kGroupBytes;
  const int8_t* q = x.q + 32 * g;
  tile_zero<0>();
  tile_load<2>(q, x.q_stride);
  tile_load<4>(w, 4 * kPanelRows);
  tile_dot<0>();
  if constexpr (count == 2) {
    tile_zero<1>();
    tile_load<3>(q + 32, x.q_stride);
    tile_load<5>(w + kGroupBytes, 4 * kPanelRows);
    tile_dot<1>();
  }
  tile_store<0>(sums.of[0], sizeof(sums.of[0][0]));
  if constexpr (count == 2) tile_store<1>(sums.of[1], sizeof(sums.of[1][0]));
}

// Scales the sums of `count` groups from g on and adds them to the accumulators, in order.
template <int count, typename Shape>
QUERN_PART void add_scaled(const Panel& panel, int g, int offset_shift, const PanelColumns& x,
                           const TileSums& sums, float* accumulator) {
  for (int c = 0; c < kTileColumns; ++c) {
    NF acc = n_load(accumulator + c * kPanelRows);
    QUERN_UNROLL
    for (int i = 0; i < count; ++i) {
      NI dot = n_load_bytes(reinterpret_cast<const uint8_t*>(sums.of[i][c]));
      if constexpr (Shape::kCode == PanelCode::kOffset) {
        const int32_t correction = x.neg_sum[c * x.group_stride + g + i];
        dot = n_add_int(dot, n_shl_any(n_set_int(correction), offset_shift));
      }
      const NF scale = n_load(panel.scale + (g + i) * kPanelRows);
      const NF d = n_set(x.d[c * x.block_stride + g + i]);
      acc = n_fma(n_to_float(dot), n_mul(scale, d), acc);
      if constexpr (Shape::kMin) {
        const NF min = n_load(panel.min + (g + i) * kPanelRows);
        acc = n_fnma(min, n_set(x.sum_d[c * x.group_stride + g + i]), acc);
      }
    }
    n_store(accumulator + c * kPanelRows, acc);
  }
}

// Multiplies as many of the first columns as fill tiles; returns their number.
template <typename Shape>
QUERN_PART int64_t multiply_matrix(const Panel& panel, int n_groups, int offset_shift,
                                   PanelColumns x, int64_t n_columns, float* accumulator) {
  static_assert(kLanes == kPanelRows && Shape::kCode != PanelCode::kWide);
  int64_t done = 0;
  if constexpr (Shape::kGroup == 32) {
    TileSums sums;
    for (; n_columns - done >= kTileColumns; done += kTileColumns) {
      int g = 0;
      for (; g + 2 <= n_groups; g += 2) {
        tile_products<2>(panel, g, x, sums);
        add_scaled<2, Shape>(panel, g, offset_shift, x, sums, accumulator);
      }
      if (g < n_groups) {
        tile_products<1>(panel, g, x, sums);
        add_scaled<1, Shape>(panel, g, offset_shift, x, sums, accumulator);
      }
      x.advance(kTileColumns);
      accumulator += kTileColumns * kPanelRows;
    }
  }
  return done;
}

}  // namespace
}  // namespace quern::cpu
