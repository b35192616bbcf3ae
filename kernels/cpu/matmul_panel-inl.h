// Matrix products with quantized weights: 16 weight rows at a time, one per lane.
//
// A chunk of K of such a panel is unpacked into the L1 cache once and multiplied with all columns
// (activation rows). Per group of weights, ascending: the exact int32 dot product, then one FMA
// into the only accumulator of the output; see kernels/cpu/README.md. One column and five hundred
// take the same path.
#pragma once

#include "kernels/cpu/panel_columns-inl.h"
#include "kernels/cpu/stream_prefetch-inl.h"
#if defined(QUERN_DOT_I8MM)
#include "kernels/cpu/matmul_pairs-inl.h"
#endif

namespace quern::cpu {
namespace {

// Dot products of one group by 16-bit sums: exact, since kSteps * 2 products of a byte of the
// format with 127 stay below 2^15 (matmul_format asserts it). Saves widening every product.
template <int n, typename Shape>
QUERN_PART void multiply_group_in_words(const int8_t* q, int64_t q_stride, const uint8_t* w_at,
                                        NI* dot) {
  QUERN_UNROLL
  for (int k = 0; k < Shape::kGroup; k += 4 * Shape::kSteps) {
    NI words[n];
    QUERN_UNROLL
    for (int step = 0; step < Shape::kSteps; ++step) {
      const int at = k + 4 * step;
      const NI w = n_load_bytes(w_at + at * kPanelRows);
      QUERN_UNROLL
      for (int c = 0; c < n; ++c) {
        const NI products = n_pair_products(w, n_broadcast4(q + c * q_stride + at));
        words[c] = step == 0 ? products : n_add_words(words[c], products);
      }
    }
    QUERN_UNROLL
    for (int c = 0; c < n; ++c) dot[c] = n_add_pairs(dot[c], words[c]);
  }
}

// Adds n_groups groups of the panel times n columns to accumulator[n][kPanelRows].
template <int n, typename Shape>
QUERN_PART void multiply_panel(const Panel& panel, int n_groups, int offset_shift,
                               const PanelColumns& x, float* accumulator) {
  constexpr int kGroup = Shape::kGroup;
  constexpr PanelCode kCode = Shape::kCode;
  for (int lane = 0; lane < kPanelRows; lane += kLanes) {
    NF acc[n];
    QUERN_UNROLL
    for (int c = 0; c < n; ++c) acc[c] = n_load(accumulator + c * kPanelRows + lane);
    const uint8_t* w_at = panel.q + 4 * lane;
    for (int g = 0; g < n_groups; ++g) {
      NI dot[n];
      QUERN_UNROLL
      for (int c = 0; c < n; ++c) {
        if constexpr (kCode == PanelCode::kOffset) {
          const int32_t correction = x.neg_sum[c * x.group_stride + g];
          dot[c] = n_shl_any(n_set_int(correction), offset_shift);
        } else {
          dot[c] = n_set_int(0);
        }
      }
      const int8_t* q_at = x.q + g * kGroup;
      if constexpr (kPairs && Shape::kSteps > 1) {
        multiply_group_in_words<n, Shape>(q_at, x.q_stride, w_at, dot);
      } else {
        QUERN_UNROLL
        for (int k = 0; k < kGroup; k += 4) {
          const NI w = n_load_bytes(w_at + k * kPanelRows);
          QUERN_UNROLL
          for (int c = 0; c < n; ++c) {
            const NI a = n_broadcast4(q_at + c * x.q_stride + k);
            if constexpr (kCode == PanelCode::kWide) {
              dot[c] = n_dot_wide(dot[c], w, a);
            } else {
              dot[c] = n_dot_unsigned(dot[c], w, a);
            }
          }
        }
      }
      w_at += kGroup * kPanelRows;
      const NF scale = n_load(panel.scale + g * kPanelRows + lane);
      QUERN_UNROLL
      for (int c = 0; c < n; ++c) {
        const NF d = n_set(x.d[c * x.block_stride + g * kGroup / 32]);
        acc[c] = n_fma(n_to_float(dot[c]), n_mul(scale, d), acc[c]);
      }
      if constexpr (Shape::kMin) {
        const NF min = n_load(panel.min + g * kPanelRows + lane);
        QUERN_UNROLL
        for (int c = 0; c < n; ++c) {
          acc[c] = n_fnma(min, n_set(x.sum_d[c * x.group_stride + g]), acc[c]);
        }
      }
    }
    QUERN_UNROLL
    for (int c = 0; c < n; ++c) n_store(accumulator + c * kPanelRows + lane, acc[c]);
  }
}

// Cuts n_columns columns into numbers that kernels take at once: body(Index<number>(), first).
template <typename Body>
QUERN_PART void for_column_counts(int64_t n_columns, Body body) {
  int64_t at = 0;
  const auto run = [&](auto count) {
    constexpr int n = decltype(count)::value;
    for (; n_columns - at >= n; at += n) body(count, at);
  };
  run(Index<kPanelColumns>());
  if constexpr (kPanelColumns > 4) run(Index<4>());
  run(Index<2>());
  run(Index<1>());
}

#if !defined(QUERN_DOT_I8MM)
// Multiplies as many of the first columns as a matrix instruction suits; returns their number.
template <typename Shape>
QUERN_PART int64_t multiply_matrix(const Panel&, int, int, const PanelColumns&, int64_t, float*) {
  return 0;
}
#endif

// Multiplies n_values of K of a panel with n_columns columns. One copy per shape, shared by
// formats.
template <typename Shape>
[[gnu::noinline]] void multiply_columns(const MatmulTask& task, const MatmulScratch& scratch,
                                        int offset_shift, int64_t column, int64_t n_columns,
                                        int64_t first_value, int n_values) {
  const int n_groups = n_values / Shape::kGroup;
  PanelColumns x = columns_at(task.xq, Shape::kGroup, column, first_value);
  const int64_t done = multiply_matrix<Shape>(scratch.panel, n_groups, offset_shift, x, n_columns,
                                              scratch.accumulator);
  x.advance(done);
  for_column_counts(n_columns - done, [&](auto count, int64_t at) {
    constexpr int n = decltype(count)::value;
    multiply_panel<n, Shape>(scratch.panel, n_groups, offset_shift, x,
                             scratch.accumulator + (done + at) * kPanelRows);
    x.advance(n);
  });
}

// Writes the accumulators of `n_columns` columns to y, with the bias, where a panel has all its
// rows.
QUERN_PART void store_full_panel(const MatmulTask& task, int64_t first_row, int64_t column,
                                 int64_t n_columns, const float* accumulator) {
  float* y = task.y + column * task.y_stride + first_row;
  for (int64_t c = 0; c < n_columns; ++c) {
    QUERN_UNROLL
    for (int lane = 0; lane < kPanelRows; lane += kLanes) {
      NF sum = n_load(accumulator + lane);
      if (task.bias != nullptr) sum = n_add(sum, n_load(task.bias + first_row + lane));
      n_store(y + lane, sum);
    }
    y += task.y_stride;
    accumulator += kPanelRows;
  }
}

// The same for any panel.
QUERN_PART void store_panel(const MatmulTask& task, int64_t first_row, int64_t column,
                            int64_t n_columns, const float* accumulator) {
  const int64_t left = task.n_out - first_row;
  const int64_t n = left < kPanelRows ? left : kPanelRows;
  if (n == kPanelRows) return store_full_panel(task, first_row, column, n_columns, accumulator);
  for (int64_t c = 0; c < n_columns; ++c) {
    float* y = task.y + (column + c) * task.y_stride + first_row;
    const float* acc = accumulator + c * kPanelRows;
    if (task.bias != nullptr) {
      for (int64_t r = 0; r < n; ++r) y[r] = acc[r] + task.bias[first_row + r];
    } else {
      std::memcpy(y, acc, static_cast<size_t>(n) * sizeof(float));
    }
  }
}

// Walks over the bytes of the panel after the one being multiplied. The 16 rows of a panel are 16
// short streams that no hardware prefetcher follows; the panel as a whole is one contiguous piece.
// Into the second-level cache, since two panels may be more than the nearest one holds.
using PanelPrefetch = StreamPrefetch<2>;

// Part of K of the rows of a panel: n_values values from first_value.
struct PanelChunk {
  RowSet rows;
  int64_t first_value;
  int n_values;
};

QUERN_PART RowSet rows_from(RowSet rows, int64_t first) {
  return {rows.base + first * rows.stride, rows.stride};
}

// For a panel with fewer rows: a copy, with the last row in the place of those that are missing.
// The results of these lanes are dropped.
[[gnu::noinline]] PanelChunk filled_up(const MatmulTask& task, int64_t first_row,
                                       const PanelChunk& chunk, std::byte* copy) {
  const int64_t begin = task.row_bytes * chunk.first_value / task.n_in;
  const int64_t bytes = task.row_bytes * chunk.n_values / task.n_in;
  for (int64_t r = 0; r < kPanelRows; ++r) {
    const int64_t row = first_row + r < task.n_out ? r : task.n_out - 1 - first_row;
    std::memcpy(copy + r * bytes, chunk.rows.base + row * chunk.rows.stride + begin,
                static_cast<size_t>(bytes));
  }
  return {{copy, bytes}, 0, chunk.n_values};
}

// At most `most` values from first_value.
QUERN_PART PanelChunk panel_chunk(const MatmulTask& task, int64_t first_row, int64_t first_value,
                                  int most, std::byte* copy) {
  const int64_t rest = task.n_in - first_value;
  const PanelChunk chunk = {{task.weight + first_row * task.row_bytes, task.row_bytes},
                            first_value,
                            rest < most ? static_cast<int>(rest) : most};
  return first_row + kPanelRows <= task.n_out ? chunk : filled_up(task, first_row, chunk, copy);
}

// The end of the weights.
QUERN_PART const std::byte* weight_end_of(const MatmulTask& task) {
  return task.weight + task.n_out * task.row_bytes;
}

// Asks for panel `begin` at once, unless the worker did so in its last call, and remembers what
// will be asked for in this one.
QUERN_PART void ask_for_first(const MatmulTask& task, int64_t begin, const MatmulScratch& scratch) {
  const int64_t panel_bytes = kPanelRows * task.row_bytes;
  const std::byte* first = task.weight + begin * panel_bytes;
  if (*scratch.following != first) PanelPrefetch(first, weight_end_of(task)).advance(panel_bytes);
  *scratch.following = task.following;
}

// To ask for what comes before panel `end` from panel `next` on; and if that is `end`, for up to
// n_panels panels of MatmulTask::following. That may lie in other weights, of which one panel is
// known to exist.
QUERN_PART PanelPrefetch ask_for_next(const MatmulTask& task, int64_t next, int64_t end,
                                      int64_t n_panels) {
  const int64_t panel_bytes = kPanelRows * task.row_bytes;
  const std::byte* weight_end = weight_end_of(task);
  if (next < end) return PanelPrefetch(task.weight + next * panel_bytes, weight_end);
  const std::byte* following = task.following;
  if (following == nullptr) return PanelPrefetch(weight_end, weight_end);
  const bool same = following >= task.weight && following < weight_end;
  const std::byte* stop = following + (same ? n_panels : 1) * panel_bytes;
  return PanelPrefetch(following, same && stop > weight_end ? weight_end : stop);
}

// `multiply` adds the products of a chunk with columns from `column` to scratch.accumulator.
template <typename Multiply>
QUERN_PART void matmul_panels(const MatmulTask& task, int64_t begin, int64_t end,
                              const MatmulScratch& scratch, Multiply multiply) {
  ask_for_first(task, begin, scratch);
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t first_row = panel * kPanelRows;
    PanelPrefetch prefetch = ask_for_next(task, panel + 1, end, 1);
    for (int64_t column = 0; column < task.n_rows; column += kMaxPassColumns) {
      const int64_t left = task.n_rows - column;
      const int64_t n_columns = left < kMaxPassColumns ? left : kMaxPassColumns;
      std::memset(scratch.accumulator, 0,
                  static_cast<size_t>(n_columns) * kPanelRows * sizeof(float));
      for (int64_t k = 0; k < task.n_in; k += kChunkValues) {
        multiply(panel_chunk(task, first_row, k, kChunkValues, scratch.tail), k, column, n_columns,
                 prefetch);
      }
      store_panel(task, first_row, column, n_columns, scratch.accumulator);
    }
  }
}

// kWide where the dot product wants unsigned bytes is an offset of 128.
inline constexpr PanelCode kWideCode = kDotFlip != 0 ? PanelCode::kOffset : PanelCode::kWide;

}  // namespace
}  // namespace quern::cpu
