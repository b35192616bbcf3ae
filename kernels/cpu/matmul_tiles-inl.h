// Matrix products by tiles (AMX-INT8): 16 weight rows x 16 columns of activations x one group of
// weights at a time.
//
// The order of the contract leaves a tile product one group: its 256 exact sums must be scaled
// before the next group's are added, and the only way out of a tile is through memory. A group thus
// costs a tile product (16 cycles), a tile store (16 cycles) and the scaling of 16 vectors, however
// many values it has. What the code below owes to that, as measured on a Xeon of the sixth
// generation:
//
// - A tile is stored three products after its own, and read one product later, so that no
//   instruction waits for the one before. The products run ahead over the borders of blocks.
// - While tiles are in use the second unit for 512-bit products of floats stands still, and with it
//   conversions; additions do not. So the sums start at kSumStart, whose bits plus a small integer
//   are the float kSumStart plus that integer, and are converted by a subtraction, which is exact.
// - Loads are as scarce as products: the scales of columns lie side by side and where it pays four
//   of them are loaded at once.
//
// The values are those of multiply_panel, bit by bit. Included after a tile unit (tile_amx.h, or
// the tests' emulation) and vec_avx512.h.
#pragma once

#include "kernels/cpu/matmul_kernels-inl.h"

namespace quern::cpu {
namespace {

inline constexpr int kTileColumns = 16;
inline constexpr int kTileGroups = kChunkValues / 32;
// Columns are multiplied in blocks of kTileColumns; this many blocks share an unpacked panel.
inline constexpr int kPassBlocks = kMaxPassColumns / kTileColumns;

inline constexpr float kSumStart = 0x1.8p23F;
// A row of sums as they start: the bits of kSumStart.
alignas(64) inline constexpr int32_t kSumStarts[kPanelRows] = {
    0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000,
    0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000};

struct TileSums {
  alignas(64) int32_t of[kSumTiles][kTileColumns][kPanelRows];
};

// The blocks of columns of a pass, at some chunk of K.
struct TileBlocks {
  const int8_t* q[kPassBlocks];  // first column of each block
  int64_t q_stride;
  const float* d;      // [n_blocks][kTileGroups][kTileColumns]
  const float* sum_d;  // the same, for formats with a minimum
  int n_blocks;
};

// Takes the place of PanelOut: signed bytes.
template <typename Unpacker>
struct SignedPanelOut : PanelOut {
  static constexpr int kOffset =
      Unpacker::Shape::kCode == PanelCode::kOffset ? 1 << Unpacker::kOffsetShift : 0;

  QUERN_PART void put_q(int value, NI bytes) const {
    if constexpr (kOffset != 0) bytes = n_sub_bytes(bytes, byte_mask(kOffset));
    PanelOut::put_q(value, bytes);
  }
};

template <int sums>
QUERN_PART void start_product(const int8_t* columns, int64_t stride, const uint8_t* weights) {
  tile_load<kColumnTile + sums % 2>(columns, stride);
  tile_load<kWeightTile + sums % 2>(weights, 4 * kPanelRows);
  tile_load<sums>(kSumStarts, 0);
  tile_dot<sums>();
}

template <int sums>
QUERN_PART void store_sums(TileSums& out) {
  tile_store<sums>(out.of[sums], sizeof(out.of[sums][0]));
}

// Starts the products of the first n_groups groups of all blocks, kSumTiles at a time, in the order
// in which they are scaled.
class ProductsAhead {
 public:
  QUERN_PART ProductsAhead(const Panel& panel, const TileBlocks& blocks, int n_groups)
      : panel_(panel), blocks_(blocks), n_groups_(n_groups) {}

  QUERN_PART bool any() const { return block_ < blocks_.n_blocks; }
  // The product of the group `sums` after the current one.
  template <int sums>
  QUERN_PART void start() const {
    const int g = group_ + sums;
    start_product<sums>(blocks_.q[block_] + 32 * g, blocks_.q_stride,
                        panel_.q + g * 32 * kPanelRows);
  }
  QUERN_PART void advance() {
    group_ += kSumTiles;
    if (group_ < n_groups_) return;
    group_ = 0;
    ++block_;
  }

 private:
  const Panel& panel_;
  const TileBlocks& blocks_;
  const int n_groups_;
  int block_ = 0;
  int group_ = 0;
};

// Scales the sums of a group and adds them to the accumulators of its columns.
template <typename Shape>
QUERN_PART void add_scaled(const int32_t (*sums)[kPanelRows], const Panel& panel, int g,
                           const float* d, const float* sum_d, NF* acc) {
  const NF scale = n_load(panel.scale + g * kPanelRows);
  const NF start = n_set(kSumStart);
  const auto dot = [&](int c) QUERN_PART_LAMBDA {
    return n_sub(n_from_bits(n_load_bytes(reinterpret_cast<const uint8_t*>(sums[c]))), start);
  };
  if constexpr (Shape::kMin) {
    const NF min = n_load(panel.min + g * kPanelRows);
    QUERN_UNROLL
    for (int c = 0; c < kTileColumns; ++c) {
      acc[c] = n_fma(dot(c), n_mul(scale, n_set(d[c])), acc[c]);
      acc[c] = n_fnma(min, n_set(sum_d[c]), acc[c]);
    }
  } else {
    QUERN_UNROLL
    for (int c = 0; c < kTileColumns; c += 4) {
      const NF four = n_set_four(d + c);
      acc[c] = n_fma(dot(c), n_mul(scale, n_one_of_four<0>(four)), acc[c]);
      acc[c + 1] = n_fma(dot(c + 1), n_mul(scale, n_one_of_four<1>(four)), acc[c + 1]);
      acc[c + 2] = n_fma(dot(c + 2), n_mul(scale, n_one_of_four<2>(four)), acc[c + 2]);
      acc[c + 3] = n_fma(dot(c + 3), n_mul(scale, n_one_of_four<3>(four)), acc[c + 3]);
    }
  }
}

QUERN_PART void load_accumulators(const float* from, NF* acc) {
  QUERN_UNROLL
  for (int c = 0; c < kTileColumns; ++c) acc[c] = n_load(from + c * kPanelRows);
}

QUERN_PART void store_accumulators(const NF* acc, float* to) {
  QUERN_UNROLL
  for (int c = 0; c < kTileColumns; ++c) n_store(to + c * kPanelRows, acc[c]);
}

// Adds the products of groups 0 to n_groups - 1, a multiple of kSumTiles, with all blocks.
template <typename Shape>
QUERN_PART void multiply_fours(const Panel& panel, int n_groups, const TileBlocks& blocks,
                               float* accumulator) {
  static_assert(kSumTiles == 4);
  TileSums sums;
  ProductsAhead ahead(panel, blocks, n_groups);
  ahead.template start<0>();
  ahead.template start<1>();
  ahead.template start<2>();
  store_sums<0>(sums);
  ahead.template start<3>();
  ahead.advance();
  for (int block = 0; block < blocks.n_blocks; ++block) {
    const float* d = blocks.d + block * kTileGroups * kTileColumns;
    const float* sum_d = blocks.sum_d + block * kTileGroups * kTileColumns;
    NF acc[kTileColumns];
    load_accumulators(accumulator, acc);
    for (int g = 0; g < n_groups; g += kSumTiles) {
      const bool more = ahead.any();
      unrolled<0, kSumTiles>([&](auto step) QUERN_PART_LAMBDA {
        constexpr int i = decltype(step)::value;
        store_sums<(i + 1) % kSumTiles>(sums);  // those of the next step
        if (more) ahead.template start<i>();
        const int at = (g + i) * kTileColumns;
        add_scaled<Shape>(sums.of[i], panel, g + i, d + at, sum_d + at, acc);
      });
      if (more) ahead.advance();
    }
    store_accumulators(acc, accumulator);
    accumulator += kTileColumns * kPanelRows;
  }
}

// The same for the groups from first_group on, one by one.
template <typename Shape>
QUERN_PART void multiply_rest(const Panel& panel, int first_group, int n_groups,
                              const TileBlocks& blocks, float* accumulator) {
  TileSums sums;
  for (int block = 0; block < blocks.n_blocks; ++block) {
    NF acc[kTileColumns];
    load_accumulators(accumulator, acc);
    for (int g = first_group; g < n_groups; ++g) {
      start_product<0>(blocks.q[block] + 32 * g, blocks.q_stride, panel.q + g * 32 * kPanelRows);
      store_sums<0>(sums);
      const int at = (block * kTileGroups + g) * kTileColumns;
      add_scaled<Shape>(sums.of[0], panel, g, blocks.d + at, blocks.sum_d + at, acc);
    }
    store_accumulators(acc, accumulator);
    accumulator += kTileColumns * kPanelRows;
  }
}

// Multiplies n_values of K of a panel with all blocks: accumulator[n_blocks][kTileColumns]
// [kPanelRows]. One copy per shape, shared by formats.
template <typename Shape>
[[gnu::noinline]] void multiply_blocks(const Panel& panel, int n_values, const TileBlocks& blocks,
                                       float* accumulator) {
  static_assert(Shape::kGroup == 32 && kLanes == kPanelRows);
  const int n_groups = n_values / 32;
  const int n_fours = n_groups / kSumTiles * kSumTiles;
  if (n_fours > 0) multiply_fours<Shape>(panel, n_fours, blocks, accumulator);
  if (n_fours < n_groups) multiply_rest<Shape>(panel, n_fours, n_groups, blocks, accumulator);
}

// The values of a plane of QuantizedRows for kTileColumns rows, side by side: out[n][kTileColumns].
// Up to three more values of each row are read than n.
QUERN_PART void lay_side_by_side(const float* plane, int64_t stride, int n, float* out) {
  const RowSet rows = {reinterpret_cast<const std::byte*>(plane),
                       stride * static_cast<int64_t>(sizeof(float))};
  for (int i = 0; i < n; i += 4) {
    NI four[4];
    n_transpose16(rows, i * static_cast<int64_t>(sizeof(float)), four);
    QUERN_UNROLL
    for (int j = 0; j < 4; ++j) {
      n_store_bytes(reinterpret_cast<uint8_t*>(out + (i + j) * kTileColumns), four[j]);
    }
  }
}

// All columns of a product as blocks, and the memory for their scales.
class TileColumns {
 public:
  QUERN_PART TileColumns(const MatmulTask& task, const MatmulScratch& scratch)
      : task_(task),
        scratch_(scratch),
        count_((task.n_rows + kTileColumns - 1) / kTileColumns),
        n_chunks_((task.n_in + kChunkValues - 1) / kChunkValues) {}

  QUERN_PART int64_t count() const { return count_; }
  // The last block is full, too; it may share columns with the one before, and both compute them.
  QUERN_PART int64_t first_column(int64_t block) const {
    const int64_t column = block * kTileColumns;
    const int64_t last = task_.n_rows - kTileColumns;
    return column < last ? column : last;
  }
  // Whether the scales of all columns for the whole of K have room.
  QUERN_PART bool keeps_all() const { return count_ * n_chunks_ <= kTileScaleBlocks; }

  // Lays out the scales of n_blocks blocks from first_block for the chunk from first_value.
  QUERN_PART void lay_scales(int64_t first_block, int64_t n_blocks, int64_t first_value,
                             bool with_sums) const {
    const int64_t left = (task_.n_in - first_value) / 32;
    const int n = left < kTileGroups ? static_cast<int>(left) : kTileGroups;
    const int64_t to = place(first_block, first_value);
    for (int64_t i = 0; i < n_blocks; ++i) {
      const int64_t from = first_column(first_block + i) * task_.xq.block_stride + first_value / 32;
      float* d = scratch_.tile_d + to + i * kTileGroups * kTileColumns;
      lay_side_by_side(task_.xq.d + from, task_.xq.block_stride, n, d);
      if (!with_sums) continue;
      float* sum_d = scratch_.tile_sum_d + to + i * kTileGroups * kTileColumns;
      lay_side_by_side(task_.xq.sum_d32 + from, task_.xq.block_stride, n, sum_d);
    }
  }

  // The blocks whose scales were laid out so.
  QUERN_PART TileBlocks blocks(int64_t first_block, int64_t n_blocks, int64_t first_value) const {
    TileBlocks out;
    for (int64_t i = 0; i < n_blocks; ++i) {
      out.q[i] = task_.xq.q + first_column(first_block + i) * task_.xq.q_stride + first_value;
    }
    out.q_stride = task_.xq.q_stride;
    out.d = scratch_.tile_d + place(first_block, first_value);
    out.sum_d = scratch_.tile_sum_d + place(first_block, first_value);
    out.n_blocks = static_cast<int>(n_blocks);
    return out;
  }

 private:
  // Where the scales go: side by side by chunk and block if all are kept, else from the start.
  QUERN_PART int64_t place(int64_t first_block, int64_t first_value) const {
    if (!keeps_all()) return 0;
    const int64_t block = first_value / kChunkValues * count_ + first_block;
    return block * kTileGroups * kTileColumns;
  }

  const MatmulTask& task_;
  const MatmulScratch& scratch_;
  const int64_t count_;
  const int64_t n_chunks_;
};

// Panels begin to end - 1, at most kTilePanels, times some blocks of columns. Panels take turns
// chunk by chunk, so that a chunk of the columns stays in the caches and its scales are laid out
// once.
template <typename Unpacker>
QUERN_PART void multiply_panels(const MatmulTask& task, int64_t begin, int64_t end,
                                const TileColumns& columns, int64_t first_block, int64_t n_blocks,
                                const MatmulScratch& scratch, PanelPrefetch& prefetch) {
  using Shape = typename Unpacker::Shape;
  const int64_t n_sums = n_blocks * kTileColumns * kPanelRows;
  std::memset(scratch.accumulator, 0, static_cast<size_t>((end - begin) * n_sums) * sizeof(float));
  for (int64_t k = 0; k < task.n_in; k += kChunkValues) {
    if (!columns.keeps_all()) columns.lay_scales(first_block, n_blocks, k, Shape::kMin);
    const TileBlocks blocks = columns.blocks(first_block, n_blocks, k);
    for (int64_t panel = begin; panel < end; ++panel) {
      const PanelChunk chunk = panel_chunk(task, panel * kPanelRows, k, scratch.tail);
      unpack_blocks<Unpacker, SignedPanelOut<Unpacker>>(chunk, scratch.panel, prefetch);
      multiply_blocks<Shape>(scratch.panel, chunk.n_values, blocks,
                             scratch.accumulator + (panel - begin) * n_sums);
    }
  }
  const float* from = scratch.accumulator;
  for (int64_t panel = begin; panel < end; ++panel) {
    for (int64_t i = 0; i < n_blocks; ++i) {
      store_panel(task, panel * kPanelRows, columns.first_column(first_block + i), kTileColumns,
                  from);
      from += kTileColumns * kPanelRows;
    }
  }
}

// The matrix product; tiles are configured and there are at least kTileColumns columns.
template <typename Unpacker>
QUERN_PART void multiply_all(const MatmulTask& task, int64_t begin, int64_t end,
                             const MatmulScratch& scratch) {
  const TileColumns columns(task, scratch);
  if (columns.keeps_all()) {
    for (int64_t k = 0; k < task.n_in; k += kChunkValues) {
      columns.lay_scales(0, columns.count(), k, Unpacker::Shape::kMin);
    }
  }
  const int64_t together = columns.keeps_all() ? 1 : kTilePanels;
  const int64_t panel_bytes = kPanelRows * task.row_bytes;
  const std::byte* weight_end = task.weight + task.n_out * task.row_bytes;
  PanelPrefetch(task.weight + begin * panel_bytes, weight_end).advance(panel_bytes);
  for (int64_t panel = begin; panel < end; panel += together) {
    const int64_t last = panel + together < end ? panel + together : end;
    PanelPrefetch prefetch(last < end ? task.weight + last * panel_bytes : weight_end, weight_end);
    for (int64_t block = 0; block < columns.count(); block += kPassBlocks) {
      const int64_t left = columns.count() - block;
      multiply_panels<Unpacker>(task, panel, last, columns, block,
                                left < kPassBlocks ? left : kPassBlocks, scratch, prefetch);
    }
  }
}

}  // namespace
}  // namespace quern::cpu
