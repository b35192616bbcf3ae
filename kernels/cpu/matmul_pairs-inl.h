// Multiplies a panel with pairs of columns by an instruction that takes two weight rows and two
// columns, 8 values of K each, to their four dot products (Armv8.6 SMMLA).
//
// The arithmetic per output is that of multiply_panel; only the lanes are arranged otherwise: a
// vector holds (row 0, column 0), (0, 1), (1, 0), (1, 1).
#pragma once

#include "kernels/cpu/panel_columns-inl.h"

namespace quern::cpu {
namespace {

// Adds n_groups groups of the panel times n columns to accumulator[n][kPanelRows].
template <int n, typename Shape>
QUERN_PART void multiply_pairs(const Panel& panel, int n_groups, int offset_shift,
                               const PanelColumns& x, float* accumulator) {
  static_assert(n % 2 == 0 && kLanes == 4);
  for (int lane = 0; lane < kPanelRows; lane += kLanes) {
    // Element c: rows 0 and 1 of the lanes with columns c, c + 1; element c + 1: rows 2 and 3.
    NF acc[n];
    QUERN_UNROLL
    for (int c = 0; c < n; c += 2) {
      const NF even = n_load(accumulator + c * kPanelRows + lane);
      const NF odd = n_load(accumulator + (c + 1) * kPanelRows + lane);
      acc[c] = n_zip_low(even, odd);
      acc[c + 1] = n_zip_high(even, odd);
    }
    const uint8_t* w_at = panel.q + 4 * lane;
    for (int g = 0; g < n_groups; ++g) {
      NI dot[n];
      QUERN_UNROLL
      for (int c = 0; c < n; c += 2) {
        NI start = n_set_int(0);
        if constexpr (Shape::kCode == PanelCode::kOffset) {
          const int32_t* neg_sum = x.neg_sum + c * x.group_stride + g;
          start = n_shl_any(n_pair(neg_sum[0], neg_sum[x.group_stride]), offset_shift);
        }
        dot[c] = start;
        dot[c + 1] = start;
      }
      const int8_t* q_at = x.q + g * Shape::kGroup;
      QUERN_UNROLL
      for (int k = 0; k < Shape::kGroup; k += 8) {
        const NI first = n_load_bytes(w_at);
        const NI second = n_load_bytes(w_at + 4 * kPanelRows);
        w_at += 8 * kPanelRows;
        const NI low = n_zip_low(first, second);
        const NI high = n_zip_high(first, second);
        QUERN_UNROLL
        for (int c = 0; c < n; c += 2) {
          const int8_t* at = q_at + c * x.q_stride + k;
          const NI a = n_load_halves(at, at + x.q_stride);
          dot[c] = n_dot_pairs(dot[c], low, a);
          dot[c + 1] = n_dot_pairs(dot[c + 1], high, a);
        }
      }
      const NF scale = n_load(panel.scale + g * kPanelRows + lane);
      QUERN_UNROLL
      for (int c = 0; c < n; c += 2) {
        const float* d_at = x.d + c * x.block_stride + g * Shape::kGroup / 32;
        const NF d = n_pair(d_at[0], d_at[x.block_stride]);
        acc[c] = n_fma(n_to_float(dot[c]), n_mul(n_zip_low(scale, scale), d), acc[c]);
        acc[c + 1] = n_fma(n_to_float(dot[c + 1]), n_mul(n_zip_high(scale, scale), d), acc[c + 1]);
      }
      if constexpr (Shape::kMin) {
        const NF min = n_load(panel.min + g * kPanelRows + lane);
        QUERN_UNROLL
        for (int c = 0; c < n; c += 2) {
          const float* sum_at = x.sum_d + c * x.group_stride + g;
          const NF sum = n_pair(sum_at[0], sum_at[x.group_stride]);
          acc[c] = n_fnma(n_zip_low(min, min), sum, acc[c]);
          acc[c + 1] = n_fnma(n_zip_high(min, min), sum, acc[c + 1]);
        }
      }
    }
    QUERN_UNROLL
    for (int c = 0; c < n; c += 2) {
      n_store(accumulator + c * kPanelRows + lane, n_unzip_even(acc[c], acc[c + 1]));
      n_store(accumulator + (c + 1) * kPanelRows + lane, n_unzip_odd(acc[c], acc[c + 1]));
    }
  }
}

// Multiplies as many of the first columns as come in pairs; returns their number.
template <typename Shape>
QUERN_PART int64_t multiply_matrix(const Panel& panel, int n_groups, int offset_shift,
                                   PanelColumns x, int64_t n_columns, float* accumulator) {
  int64_t done = 0;
  const auto multiply = [&](auto count) {
    constexpr int n = decltype(count)::value;
    for (; n_columns - done >= n; done += n) {
      multiply_pairs<n, Shape>(panel, n_groups, offset_shift, x, accumulator + done * kPanelRows);
      x.advance(n);
    }
  };
  multiply(Index<8>());
  multiply(Index<4>());
  multiply(Index<2>());
  return done;
}

}  // namespace
}  // namespace quern::cpu
