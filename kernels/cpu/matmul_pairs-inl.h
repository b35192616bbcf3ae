// Multiplies a panel with pairs of columns by an instruction that takes two weight rows and two
// columns, 8 values of K each, to their four dot products (Armv8.6 SMMLA).
//
// The arithmetic per output is that of multiply_panel; only the lanes are arranged otherwise: a
// vector holds (row 0, column 0), (0, 1), (1, 0), (1, 1).
#pragma once

#include "kernels/cpu/panel_columns-inl.h"

namespace quern::cpu {
namespace {

// Accumulators of n columns, for 4 rows: element c holds rows 0 and 1 with columns c, c + 1;
// element c + 1 rows 2 and 3.
template <int n>
QUERN_PART void load_pairs(const float* accumulator, NF* acc) {
  QUERN_UNROLL
  for (int c = 0; c < n; c += 2) {
    const NF even = n_load(accumulator + c * kPanelRows);
    const NF odd = n_load(accumulator + (c + 1) * kPanelRows);
    acc[c] = n_zip_low(even, odd);
    acc[c + 1] = n_zip_high(even, odd);
  }
}
template <int n>
QUERN_PART void store_pairs(const NF* acc, float* accumulator) {
  QUERN_UNROLL
  for (int c = 0; c < n; c += 2) {
    n_store(accumulator + c * kPanelRows, n_unzip_even(acc[c], acc[c + 1]));
    n_store(accumulator + (c + 1) * kPanelRows, n_unzip_odd(acc[c], acc[c + 1]));
  }
}

// Adds the dot products of one group to `dot`, which is arranged in the same way.
template <int n, typename Shape>
QUERN_PART void dot_group_pairs(const int8_t* q, int64_t q_stride, const uint8_t* w_at, NI* dot) {
  QUERN_UNROLL
  for (int k = 0; k < Shape::kGroup; k += 8) {
    const NI first = n_load_bytes(w_at + k * kPanelRows);
    const NI second = n_load_bytes(w_at + (k + 4) * kPanelRows);
    const NI low = n_zip_low(first, second);
    const NI high = n_zip_high(first, second);
    QUERN_UNROLL
    for (int c = 0; c < n; c += 2) {
      const int8_t* at = q + c * q_stride + k;
      const NI a = n_load_halves(at, at + q_stride);
      dot[c] = n_dot_pairs(dot[c], low, a);
      dot[c + 1] = n_dot_pairs(dot[c + 1], high, a);
    }
  }
}

// Adds n_groups groups of the panel times n columns to accumulator[n][kPanelRows].
template <int n, typename Shape>
QUERN_PART void multiply_pairs(const Panel& panel, int n_groups, int offset_shift,
                               const PanelColumns& x, float* accumulator) {
  static_assert(n % 2 == 0 && kLanes == 4);
  for (int lane = 0; lane < kPanelRows; lane += kLanes) {
    NF acc[n];
    load_pairs<n>(accumulator + lane, acc);
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
      dot_group_pairs<n, Shape>(x.q + g * Shape::kGroup, x.q_stride, w_at, dot);
      w_at += Shape::kGroup * kPanelRows;
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
    store_pairs<n>(acc, accumulator + lane);
  }
}

// The same for formats with super-blocks, n_blocks of them.
template <int n, typename Shape>
QUERN_PART void multiply_super_pairs(const Panel& panel, int n_blocks, int offset_shift,
                                     const SuperColumns& x, float* accumulator) {
  static_assert(n % 2 == 0 && kLanes == 4);
  constexpr int kSuperGroups = kSuperValues / Shape::kGroup;
  constexpr bool kSums = Shape::kMin || Shape::kCode == PanelCode::kOffset;
  const auto load = [](const int32_t* p) {
    return n_load_bytes(reinterpret_cast<const uint8_t*>(p));
  };
  for (int lane = 0; lane < kPanelRows; lane += kLanes) {
    NF acc[n];
    load_pairs<n>(accumulator + lane, acc);
    const uint8_t* w_at = panel.q + 4 * lane;
    const int32_t* factor_at = panel.factor + lane;
    const int32_t* pairs_at = panel.pairs + lane;
    for (int b = 0; b < n_blocks; ++b) {
      const SuperColumns columns = x.block(b);
      NI sum[n];
      NI sums[n];
      QUERN_UNROLL
      for (int c = 0; c < n; ++c) sum[c] = sums[c] = n_set_int(0);
      for (int g = 0; g < kSuperGroups; ++g) {
        NI dot[n];
        QUERN_UNROLL
        for (int c = 0; c < n; ++c) dot[c] = n_set_int(0);
        dot_group_pairs<n, Shape>(columns.q + g * Shape::kGroup, kSuperValues, w_at, dot);
        w_at += Shape::kGroup * kPanelRows;
        const NI factor = n_sar<16>(load(factor_at));
        factor_at += kPanelRows;
        QUERN_UNROLL
        for (int c = 0; c < n; c += 2) {
          sum[c] = n_fma_int(dot[c], n_zip_low(factor, factor), sum[c]);
          sum[c + 1] = n_fma_int(dot[c + 1], n_zip_high(factor, factor), sum[c + 1]);
        }
      }
      if constexpr (kSums) {
        for (int p = 0; p < kSuperValues / 32; ++p) {
          const NI factors = load(pairs_at);
          pairs_at += kPanelRows;
          QUERN_UNROLL
          for (int c = 0; c < n; c += 2) {
            const int16_t* at = columns.sums + c * kSuperHalves + 2 * p;
            const NI two = n_zip_low(two_sums(at), two_sums(at + kSuperHalves));
            sums[c] = n_dot_words(sums[c], n_zip_low(factors, factors), two);
            sums[c + 1] = n_dot_words(sums[c + 1], n_zip_high(factors, factors), two);
          }
        }
      }
      const NF scale = n_load(panel.scale + b * kPanelRows + lane);
      QUERN_UNROLL
      for (int c = 0; c < n; c += 2) {
        if constexpr (Shape::kCode == PanelCode::kOffset) {
          sum[c] = n_sub_int(sum[c], n_shl_any(sums[c], offset_shift));
          sum[c + 1] = n_sub_int(sum[c + 1], n_shl_any(sums[c + 1], offset_shift));
        }
        const NF d = n_pair(columns.d[c], columns.d[c + 1]);
        const NF scale_low = n_zip_low(scale, scale);
        const NF scale_high = n_zip_high(scale, scale);
        NF low = n_mul(n_to_float(sum[c]), scale_low);
        NF high = n_mul(n_to_float(sum[c + 1]), scale_high);
        if constexpr (Shape::kMin) {
          const NF min = n_load(panel.min + b * kPanelRows + lane);
          const NF min_low = n_mul(n_to_float(sums[c]), n_zip_low(min, min));
          const NF min_high = n_mul(n_to_float(sums[c + 1]), n_zip_high(min, min));
          low = n_fms(n_to_float(sum[c]), scale_low, min_low);
          high = n_fms(n_to_float(sum[c + 1]), scale_high, min_high);
        }
        acc[c] = n_fma(low, d, acc[c]);
        acc[c + 1] = n_fma(high, d, acc[c + 1]);
      }
    }
    store_pairs<n>(acc, accumulator + lane);
  }
}

// Calls multiply(Index<n>(), x, accumulator) for as many of the first columns as come in pairs;
// returns their number.
template <typename Columns, typename Multiply>
QUERN_PART int64_t for_pairs(Columns x, int64_t n_columns, float* accumulator, Multiply multiply) {
  int64_t done = 0;
  const auto run = [&](auto count) {
    constexpr int n = decltype(count)::value;
    for (; n_columns - done >= n; done += n) {
      multiply(count, x, accumulator + done * kPanelRows);
      x.advance(n);
    }
  };
  run(Index<8>());
  run(Index<4>());
  run(Index<2>());
  return done;
}

// Multiplies as many of the first columns as come in pairs; returns their number.
template <typename Shape>
QUERN_PART int64_t multiply_matrix(const Panel& panel, int n_groups, int offset_shift,
                                   const PanelColumns& x, int64_t n_columns, float* accumulator) {
  return for_pairs(
      x, n_columns, accumulator, [&](auto count, const PanelColumns& columns, float* sums) {
        multiply_pairs<decltype(count)::value, Shape>(panel, n_groups, offset_shift, columns, sums);
      });
}
template <typename Shape>
QUERN_PART int64_t multiply_super_matrix(const Panel& panel, int n_blocks, int offset_shift,
                                         const SuperColumns& x, int64_t n_columns,
                                         float* accumulator) {
  return for_pairs(x, n_columns, accumulator,
                   [&](auto count, const SuperColumns& columns, float* sums) {
                     multiply_super_pairs<decltype(count)::value, Shape>(
                         panel, n_blocks, offset_shift, columns, sums);
                   });
}

}  // namespace
}  // namespace quern::cpu
