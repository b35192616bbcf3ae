// Matrix products with F32, F16 and BF16 weights, and with any other float format decoded first.
//
// One output: 16 lanes over K, lane l accumulates fma(w[k + l], x[k + l], lane l) for k = 0, 16,
// ... with zeros behind the end of the row, then the tree of v_reduce_add, then the bias.
#pragma once

#include "kernels/cpu/kernel_types.h"
#include "kernels/cpu/vec16-inl.h"

namespace quern::cpu {
namespace {

struct LoadF32 {
  static constexpr int kBytes = 4;
  static QUERN_PART Vec full(const std::byte* p) {
    return v_load(reinterpret_cast<const float*>(p));
  }
  static QUERN_PART Vec first(const std::byte* p, int64_t n) {
    return v_load_first(reinterpret_cast<const float*>(p), n);
  }
};
struct LoadF16 {
  static constexpr int kBytes = 2;
  static QUERN_PART Vec full(const std::byte* p) {
    return v_load_f16(reinterpret_cast<const uint16_t*>(p));
  }
  static QUERN_PART Vec first(const std::byte* p, int64_t n) {
    return v_load_first_f16(reinterpret_cast<const uint16_t*>(p), n);
  }
};
struct LoadBf16 {
  static constexpr int kBytes = 2;
  static QUERN_PART Vec full(const std::byte* p) {
    return v_load_bf16(reinterpret_cast<const uint16_t*>(p));
  }
  static QUERN_PART Vec first(const std::byte* p, int64_t n) {
    return v_load_first_bf16(reinterpret_cast<const uint16_t*>(p), n);
  }
};

struct FloatTile {
  const std::byte* weight;  // first row of the tile
  int64_t row_bytes;
  const float* x;  // first column of the tile
  int64_t x_stride;
  int64_t n_in;
  const float* bias;  // of the first row, or null
  float* y;           // first row, first column
  int64_t y_stride;
};

template <typename Load, int n_rows, int n_columns>
QUERN_PART void float_tile(const FloatTile& tile) {
  Vec sum[n_rows][n_columns];
  QUERN_UNROLL
  for (int r = 0; r < n_rows; ++r) {
    QUERN_UNROLL
    for (int c = 0; c < n_columns; ++c) sum[r][c] = v_zero();
  }
  const int64_t whole = tile.n_in / kVecLanes * kVecLanes;
  for (int64_t k = 0; k < whole; k += kVecLanes) {
    Vec w[n_rows];
    QUERN_UNROLL
    for (int r = 0; r < n_rows; ++r) {
      w[r] = Load::full(tile.weight + r * tile.row_bytes + k * Load::kBytes);
    }
    QUERN_UNROLL
    for (int c = 0; c < n_columns; ++c) {
      const Vec x = v_load(tile.x + c * tile.x_stride + k);
      QUERN_UNROLL
      for (int r = 0; r < n_rows; ++r) sum[r][c] = v_fma(w[r], x, sum[r][c]);
    }
  }
  const int64_t rest = tile.n_in - whole;
  for (int r = 0; r < n_rows; ++r) {
    for (int c = 0; c < n_columns; ++c) {
      if (rest > 0) {
        const Vec w = Load::first(tile.weight + r * tile.row_bytes + whole * Load::kBytes, rest);
        const Vec x = v_load_first(tile.x + c * tile.x_stride + whole, rest);
        sum[r][c] = v_fma(w, x, sum[r][c]);
      }
      const float total = v_reduce_add(sum[r][c]);
      tile.y[c * tile.y_stride + r] = tile.bias != nullptr ? total + tile.bias[r] : total;
    }
  }
}

template <typename Load, int n_rows>
QUERN_PART void float_tile_columns(FloatTile tile, int64_t n) {
  int64_t c = 0;
  for (; c + kFloatTileColumns <= n; c += kFloatTileColumns) {
    float_tile<Load, n_rows, kFloatTileColumns>(tile);
    tile.x += kFloatTileColumns * tile.x_stride;
    tile.y += kFloatTileColumns * tile.y_stride;
  }
  for (; c < n; ++c) {
    float_tile<Load, n_rows, 1>(tile);
    tile.x += tile.x_stride;
    tile.y += tile.y_stride;
  }
}

// Outputs first..end-1 of the task, whose weight rows start at `weight` (row `first`).
template <typename Load>
QUERN_PART void float_rows(const MatmulTask& task, const std::byte* weight, int64_t row_bytes,
                           int64_t first, int64_t end) {
  int64_t r = first;
  while (r < end) {
    const FloatTile tile = {weight + (r - first) * row_bytes,
                            row_bytes,
                            task.x,
                            task.x_stride,
                            task.n_in,
                            task.bias != nullptr ? task.bias + r : nullptr,
                            task.y + r,
                            task.y_stride};
    if (r + kFloatTileRows <= end) {
      float_tile_columns<Load, kFloatTileRows>(tile, task.n_rows);
      r += kFloatTileRows;
    } else {
      float_tile_columns<Load, 1>(tile, task.n_rows);
      r += 1;
    }
  }
}

QUERN_PART int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <typename Load>
void matmul_float(const MatmulTask& task, int64_t begin, int64_t end, const MatmulScratch&) {
  const int64_t first = begin * kPanelRows;
  float_rows<Load>(task, task.weight + first * task.row_bytes, task.row_bytes, first,
                   smaller(end * kPanelRows, task.n_out));
}

// Any float format: a panel of rows is decoded to f32 first.
void matmul_decoded(const MatmulTask& task, int64_t begin, int64_t end,
                    const MatmulScratch& scratch) {
  const int64_t bytes = task.n_in * static_cast<int64_t>(sizeof(float));
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t first = panel * kPanelRows;
    const int64_t last = smaller(first + kPanelRows, task.n_out);
    for (int64_t r = first; r < last; ++r) {
      task.decode(task.weight + r * task.row_bytes, scratch.decoded + (r - first) * task.n_in,
                  task.n_in);
    }
    float_rows<LoadF32>(task, reinterpret_cast<const std::byte*>(scratch.decoded), bytes, first,
                        last);
  }
}

}  // namespace
}  // namespace quern::cpu
