// Columns of activations in blocks that fill a tile, for the matrix products on tiles.
#pragma once

#include "kernels/cpu/matmul_kernels-inl.h"
#include "kernels/cpu/tile_config.h"

namespace quern::cpu {
namespace {

QUERN_PART int64_t tile_blocks(const MatmulTask& task) {
  return (task.n_rows + kTileColumns - 1) / kTileColumns;
}

// The first column of a block. The last block is full, too; it may share columns with the one
// before, and both compute them. The only one of fewer columns goes on behind the last one.
QUERN_PART int64_t tile_column(const MatmulTask& task, int64_t block) {
  const int64_t last = task.n_rows - kTileColumns;
  return last < 0 ? 0 : smaller(block * kTileColumns, last);
}

// Writes the accumulators [panel][block][kTileColumns][kPanelRows] of panels begin to end - 1 to y,
// with the bias: all panels of a column together, since columns are pages apart.
QUERN_PART void store_tile_panels(const MatmulTask& task, int64_t begin, int64_t end,
                                  const int64_t* columns, int64_t n_blocks,
                                  const float* accumulator) {
  const int64_t panel_floats = n_blocks * kTileColumns * kPanelRows;
  const int64_t n_full = smaller(end, task.n_out / kPanelRows) - begin;
  const int64_t n_columns = smaller(kTileColumns, task.n_rows);
  const float* bias = task.bias != nullptr ? task.bias + begin * kPanelRows : nullptr;
  for (int64_t i = 0; i < n_blocks; ++i) {
    const float* from = accumulator + i * kTileColumns * kPanelRows;
    float* y = task.y + columns[i] * task.y_stride + begin * kPanelRows;
    for (int64_t c = 0; c < n_columns; ++c) {
      for (int64_t p = 0; p < n_full; ++p) {
        NF sum = n_load(from + p * panel_floats);
        if (bias != nullptr) sum = n_add(sum, n_load(bias + p * kPanelRows));
        n_store(y + p * kPanelRows, sum);
      }
      from += kPanelRows;
      y += task.y_stride;
    }
  }
  if (begin + n_full == end) return;
  const float* from = accumulator + n_full * panel_floats;
  for (int64_t i = 0; i < n_blocks; ++i) {
    store_panel(task, (begin + n_full) * kPanelRows, columns[i], n_columns,
                from + i * kTileColumns * kPanelRows);
  }
}

}  // namespace
}  // namespace quern::cpu
