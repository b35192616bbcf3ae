// Matrix products with formats that have super-blocks: the groups of a block are scaled by whole
// numbers, so that the sum over all 256 values is exact, and one FMA per block adds it to the only
// accumulator of the output; see kernels/cpu/README.md.
//
// Like multiply_panel (matmul_panel-inl.h), 16 weight rows at a time, one per lane.
#pragma once

#include "kernels/cpu/matmul_panel-inl.h"

namespace quern::cpu {
namespace {

inline constexpr int kSuperPairs = kSuperValues / 32;

// Whether sums of activations take part: those of minima, or those of an offset of the bytes.
template <typename Shape>
inline constexpr bool kUsesPairs = Shape::kMin || Shape::kCode == PanelCode::kOffset;

// sum[c] += factor * the dot products of one group, by 16-bit sums of products (exact, see
// multiply_group_in_words) that are multiplied with the factor as they are added up.
template <int n, typename Shape>
QUERN_PART void add_group_in_words(const int8_t* q, const uint8_t* w_at, NI factor, NI* sum) {
  constexpr int kSteps = Shape::kCode == PanelCode::kWide ? 1 : Shape::kSteps;
  QUERN_UNROLL
  for (int k = 0; k < Shape::kGroup; k += 4 * kSteps) {
    NI words[n];
    QUERN_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      const int at = k + 4 * step;
      const NI w = n_load_bytes(w_at + at * kPanelRows);
      QUERN_UNROLL
      for (int c = 0; c < n; ++c) {
        const NI a = n_broadcast4(q + c * kSuperValues + at);
        NI products;
        if constexpr (Shape::kCode == PanelCode::kWide) {
          products = n_wide_pair_products(w, a);
        } else {
          products = n_pair_products(w, a);
        }
        words[c] = step == 0 ? products : n_add_words(words[c], products);
      }
    }
    QUERN_UNROLL
    for (int c = 0; c < n; ++c) sum[c] = n_dot_words(sum[c], words[c], factor);
  }
}

// The same by 32-bit dot products.
template <int n, typename Shape>
QUERN_PART void add_group(const int8_t* q, const uint8_t* w_at, NI factor, NI* sum) {
  NI dot[n];
  QUERN_UNROLL
  for (int c = 0; c < n; ++c) dot[c] = n_set_int(0);
  QUERN_UNROLL
  for (int k = 0; k < Shape::kGroup; k += 4) {
    const NI w = n_load_bytes(w_at + k * kPanelRows);
    QUERN_UNROLL
    for (int c = 0; c < n; ++c) {
      const NI a = n_broadcast4(q + c * kSuperValues + k);
      if constexpr (Shape::kCode == PanelCode::kWide) {
        dot[c] = n_dot_wide(dot[c], w, a);
      } else {
        dot[c] = n_dot_unsigned(dot[c], w, a);
      }
    }
  }
  const NI number = n_sar<16>(factor);
  QUERN_UNROLL
  for (int c = 0; c < n; ++c) sum[c] = n_fma_int(dot[c], number, sum[c]);
}

QUERN_PART NI load_ints(const int32_t* p) {
  return n_load_bytes(reinterpret_cast<const uint8_t*>(p));
}

// out[c] = the sums of column c times the factors of `pairs`, over one block.
template <int n>
QUERN_PART void dot_sums(const int32_t* pairs, const int16_t* sums, NI* out) {
  QUERN_UNROLL
  for (int c = 0; c < n; ++c) out[c] = n_set_int(0);
  QUERN_UNROLL
  for (int p = 0; p < kSuperPairs; ++p) {
    const NI factors = load_ints(pairs + p * kPanelRows);
    QUERN_UNROLL
    for (int c = 0; c < n; ++c) {
      out[c] = n_dot_words(out[c], factors, two_sums(sums + c * kSuperHalves + 2 * p));
    }
  }
}

// Adds n_blocks blocks of the panel times n columns to accumulator[n][kPanelRows].
template <int n, typename Shape>
QUERN_PART void multiply_super_panel(const Panel& panel, int n_blocks, int offset_shift,
                                     const SuperColumns& x, float* accumulator) {
  constexpr int kGroups = kSuperValues / Shape::kGroup;
  for (int lane = 0; lane < kPanelRows; lane += kLanes) {
    const uint8_t* w_at = panel.q + 4 * lane;
    const int32_t* factor = panel.factor + lane;
    for (int b = 0; b < n_blocks; ++b) {
      const SuperColumns columns = x.block(b);
      const int8_t* q_at = columns.q;
      NI sum[n];
      QUERN_UNROLL
      for (int c = 0; c < n; ++c) sum[c] = n_set_int(0);
      for (int g = 0; g < kGroups; ++g) {
        if constexpr (kPairs) {
          add_group_in_words<n, Shape>(q_at, w_at, load_ints(factor), sum);
        } else {
          add_group<n, Shape>(q_at, w_at, load_ints(factor), sum);
        }
        q_at += Shape::kGroup;
        w_at += Shape::kGroup * kPanelRows;
        factor += kPanelRows;
      }
      NI sums[n];
      if constexpr (kUsesPairs<Shape>) {
        dot_sums<n>(panel.pairs + b * kSuperPairs * kPanelRows + lane, columns.sums, sums);
      }
      const NF scale = n_load(panel.scale + b * kPanelRows + lane);
      QUERN_UNROLL
      for (int c = 0; c < n; ++c) {
        if constexpr (Shape::kCode == PanelCode::kOffset) {
          sum[c] = n_sub_int(sum[c], n_shl_any(sums[c], offset_shift));
        }
        const NF d = n_set(columns.d[c]);
        NF block = n_mul(n_to_float(sum[c]), scale);
        if constexpr (Shape::kMin) {
          const NF min = n_mul(n_to_float(sums[c]), n_load(panel.min + b * kPanelRows + lane));
          block = n_fms(n_to_float(sum[c]), scale, min);
        }
        float* at = accumulator + c * kPanelRows + lane;
        n_store(at, n_fma(block, d, n_load(at)));
      }
    }
  }
}

#if !defined(QUERN_DOT_I8MM)
// Multiplies as many of the first columns as a matrix instruction suits; returns their number.
template <typename Shape>
QUERN_PART int64_t multiply_super_matrix(const Panel&, int, int, const SuperColumns&, int64_t,
                                         float*) {
  return 0;
}
#endif

// Multiplies n_values of K of a panel with n_columns columns. One copy per shape, shared by
// formats.
template <typename Shape>
[[gnu::noinline]] void multiply_super_columns(const MatmulTask& task, const MatmulScratch& scratch,
                                              int offset_shift, int64_t column, int64_t n_columns,
                                              int64_t first_value, int n_values) {
  const int n_blocks = n_values / kSuperValues;
  SuperColumns x = super_columns_at(task.xs, column, first_value);
  const int64_t done = multiply_super_matrix<Shape>(scratch.panel, n_blocks, offset_shift, x,
                                                    n_columns, scratch.accumulator);
  x.advance(done);
  for_column_counts(n_columns - done, [&](auto count, int64_t at) {
    constexpr int n = decltype(count)::value;
    multiply_super_panel<n, Shape>(scratch.panel, n_blocks, offset_shift, x,
                                   scratch.accumulator + (done + at) * kPanelRows);
    x.advance(n);
  });
}

}  // namespace
}  // namespace quern::cpu
