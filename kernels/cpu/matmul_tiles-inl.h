// Matrix products by tiles (AMX-INT8), for formats without super-blocks: 16 weight rows x 16
// columns of activations x one group of weights at a time.
//
// The order of the contract leaves a tile product one group: its 256 exact sums must be scaled
// before the next group's are added, and the only way out of a tile is through memory. A group thus
// costs a tile product (16 cycles), a tile store (16 cycles) and the scaling of 16 vectors, however
// many values it has. What the code below owes to that and to what was measured on a Xeon:
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

#include "kernels/cpu/tile_columns-inl.h"

namespace quern::cpu {
namespace {

// Scales of a chunk of one column; for groups of 16 two groups share one.
inline constexpr int kTileScales = kChunkValues / 32;
// Columns are multiplied in blocks of kTileColumns; this many blocks share an unpacked panel.
inline constexpr int kPassBlocks = kMaxPassColumns / kTileColumns;

inline constexpr float kSumStart = 0x1.8p23F;
// A row of sums as they start: the bits of kSumStart.
alignas(64) inline constexpr int32_t kSumStarts[kPanelRows] = {
    0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000,
    0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000, 0x4B400000};

static_assert(__builtin_bit_cast(int32_t, kSumStart) == kSumStarts[0]);
static_assert(32 * 128 * 127 < (1 << 22), "a sum must not leave the binade of kSumStart");

struct TileSums {
  alignas(64) int32_t of[kSumTiles][kTileColumns][kPanelRows];
};

// The blocks of columns of a pass, at some chunk of K.
struct TileBlocks {
  const int8_t* q[kPassBlocks];  // first column of each block
  int64_t q_stride;
  const float* d;      // [n_blocks][kTileScales][kTileColumns]
  const float* sum_d;  // [n_blocks][groups of a chunk][kTileColumns], formats with a minimum only
  int n_blocks;
};

// Takes the place of PanelOut: signed bytes.
template <typename Unpacker>
struct SignedPanelOut : PanelOut<typename Unpacker::Format> {
  static constexpr int kOffset =
      Unpacker::Shape::kCode == PanelCode::kOffset ? 1 << Unpacker::kOffsetShift : 0;

  QUERN_PART void put_q(int value, NI bytes) {
    if constexpr (kOffset != 0) bytes = n_sub_bytes(bytes, byte_mask(kOffset));
    PanelOut<typename Unpacker::Format>::put_q(value, bytes);
  }
};

template <int sums>
QUERN_PART void start_product(const int8_t* columns, int64_t stride, const uint8_t* weights) {
  tile_load<kColumnTile + sums % 2>(columns, stride);
  tile_load<kWeightTile + sums % 2>(weights, 4 * kPanelRows);
  tile_load<sums>(kSumStarts, 0);
  tile_dot<sums, kColumnTile + sums % 2, kWeightTile + sums % 2>();
}

template <int sums>
QUERN_PART void store_sums(TileSums& out) {
  tile_store<sums>(out.of[sums], sizeof(out.of[sums][0]));
}

// Starts the products of the first n_groups groups of all blocks, kSumTiles at a time, in the order
// in which they are scaled. Keeps addresses and no indices, so that few instructions stand between
// the loads of tiles.
template <int group>
class ProductsAhead {
 public:
  QUERN_PART ProductsAhead(const Panel& panel, const TileBlocks& blocks, int n_groups)
      : columns_(blocks.q[0]),
        weights_(panel.q),
        weights_end_(panel.q + n_groups * kGroupBytes),
        stride_(blocks.q_stride),
        next_block_(blocks.q + 1),
        blocks_end_(blocks.q + blocks.n_blocks),
        first_weights_(panel.q) {}

  QUERN_PART bool any() const { return columns_ != nullptr; }
  // The product of the group `sums` after the current one.
  template <int sums>
  QUERN_PART void start() const {
    start_product<sums>(columns_ + group * sums, stride_, weights_ + kGroupBytes * sums);
  }
  QUERN_PART void advance() {
    columns_ += group * kSumTiles;
    weights_ += kGroupBytes * kSumTiles;
    if (weights_ != weights_end_) return;
    weights_ = first_weights_;
    columns_ = next_block_ != blocks_end_ ? *next_block_++ : nullptr;
  }

 private:
  static constexpr int kGroupBytes = group * kPanelRows;

  const int8_t* columns_;  // null: all are started
  const uint8_t* weights_;
  const uint8_t* weights_end_;
  const int64_t stride_;
  const int8_t* const* next_block_;
  const int8_t* const* blocks_end_;
  const uint8_t* first_weights_;
};

// What the sums of some group of a block are scaled with.
template <typename Shape>
struct GroupScales {
  const float* weights;  // [kPanelRows]
  const float* mins;     // [kPanelRows], formats with a minimum only
  const float* columns;  // [kTileColumns]
  const float* sums;     // [kTileColumns], formats with a minimum only

  QUERN_PART GroupScales(const Panel& panel, const TileBlocks& blocks, int block)
      : weights(panel.scale),
        mins(panel.min),
        columns(blocks.d + block * kTileScales * kTileColumns),
        sums(blocks.sum_d + block * (kChunkValues / Shape::kGroup) * kTileColumns) {}

  // An even number of groups further where two share a scale.
  QUERN_PART void advance(int n_groups) {
    weights += n_groups * kPanelRows;
    mins += n_groups * kPanelRows;
    columns += n_groups * Shape::kGroup / 32 * kTileColumns;
    sums += n_groups * kTileColumns;
  }
};

// Scales the sums of the group `n` after that of `at` and adds them to the accumulators.
template <typename Shape>
QUERN_PART void add_scaled(const int32_t (*sums)[kPanelRows], const GroupScales<Shape>& at, int n,
                           NF* acc) {
  const NF scale = n_load(at.weights + n * kPanelRows);
  const NF start = n_set(kSumStart);
  const float* d = at.columns + n * Shape::kGroup / 32 * kTileColumns;
  const auto dot = [&](int c) QUERN_PART_LAMBDA {
    return n_sub(n_from_bits(n_load_bytes(reinterpret_cast<const uint8_t*>(sums[c]))), start);
  };
  if constexpr (Shape::kMin) {
    const NF min = n_load(at.mins + n * kPanelRows);
    const float* sum_d = at.sums + n * kTileColumns;
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
  ProductsAhead<Shape::kGroup> ahead(panel, blocks, n_groups);
  ahead.template start<0>();
  ahead.template start<1>();
  ahead.template start<2>();
  store_sums<0>(sums);
  ahead.template start<3>();
  ahead.advance();
  for (int block = 0; block < blocks.n_blocks; ++block) {
    GroupScales<Shape> scales(panel, blocks, block);
    NF acc[kTileColumns];
    load_accumulators(accumulator, acc);
    for (int g = 0; g < n_groups; g += kSumTiles) {
      const bool more = ahead.any();
      unrolled<0, kSumTiles>([&](auto step) QUERN_PART_LAMBDA {
        constexpr int i = decltype(step)::value;
        store_sums<(i + 1) % kSumTiles>(sums);  // those of the next step
        if (more) ahead.template start<i>();
        add_scaled<Shape>(sums.of[i], scales, i, acc);
      });
      if (more) ahead.advance();
      scales.advance(kSumTiles);
    }
    store_accumulators(acc, accumulator);
    accumulator += kTileColumns * kPanelRows;
  }
}

// The same for the groups from first_group, a multiple of kSumTiles, one by one.
template <typename Shape>
QUERN_PART void multiply_rest(const Panel& panel, int first_group, int n_groups,
                              const TileBlocks& blocks, float* accumulator) {
  static_assert(kSumTiles % 2 == 0);
  TileSums sums;
  for (int block = 0; block < blocks.n_blocks; ++block) {
    GroupScales<Shape> scales(panel, blocks, block);
    scales.advance(first_group);
    NF acc[kTileColumns];
    load_accumulators(accumulator, acc);
    for (int n = 0; n < n_groups - first_group; ++n) {
      const int value = (first_group + n) * Shape::kGroup;
      start_product<0>(blocks.q[block] + value, blocks.q_stride, panel.q + value * kPanelRows);
      store_sums<0>(sums);
      add_scaled<Shape>(sums.of[0], scales, n, acc);
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
  static_assert(kLanes == kPanelRows);
  const int n_groups = n_values / Shape::kGroup;
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

// All columns of a product as blocks, and the memory for their scales and, for formats with a
// minimum, sums.
template <typename Shape>
class TileColumns {
 public:
  QUERN_PART TileColumns(const MatmulTask& task, const MatmulScratch& scratch)
      : task_(task),
        scratch_(scratch),
        count_(tile_blocks(task)),
        n_chunks_((task.n_in + kChunkValues - 1) / kChunkValues) {}

  QUERN_PART int64_t count() const { return count_; }
  // Whether the scales of all columns for the whole of K have room.
  QUERN_PART bool keeps_all() const { return count_ * n_chunks_ <= kTileScaleBlocks; }

  // Lays out the scales of n_blocks blocks from first_block for the chunk from first_value.
  QUERN_PART void lay_scales(int64_t first_block, int64_t n_blocks, int64_t first_value) const {
    const int64_t left = task_.n_in - first_value;
    const int n_values = left < kChunkValues ? static_cast<int>(left) : kChunkValues;
    for (int64_t i = 0; i < n_blocks; ++i) {
      const int64_t block = first_block + i;
      const PanelColumns x =
          columns_at(task_.xq, Shape::kGroup, tile_column(task_, block), first_value);
      const int64_t to = (place(first_block, first_value) + i) * kTileColumns;
      lay_side_by_side(x.d, x.block_stride, n_values / 32, scratch_.tile_d + to * kTileScales);
      if constexpr (Shape::kMin) {
        lay_side_by_side(x.sum_d, x.group_stride, n_values / Shape::kGroup,
                         scratch_.tile_sum_d + to * kGroups);
      }
    }
  }

  // The blocks whose scales were laid out so.
  QUERN_PART TileBlocks blocks(int64_t first_block, int64_t n_blocks, int64_t first_value) const {
    TileBlocks out;
    for (int64_t i = 0; i < n_blocks; ++i) {
      const int64_t column = tile_column(task_, first_block + i);
      out.q[i] = task_.xq.q + column * task_.xq.q_stride + first_value;
    }
    const int64_t from = place(first_block, first_value) * kTileColumns;
    out.q_stride = task_.xq.q_stride;
    out.d = scratch_.tile_d + from * kTileScales;
    out.sum_d = scratch_.tile_sum_d + from * kGroups;
    out.n_blocks = static_cast<int>(n_blocks);
    return out;
  }

 private:
  static constexpr int kGroups = kChunkValues / Shape::kGroup;

  // The number of blocks in the memory for scales before these: by chunk and block if all are kept,
  // else none.
  QUERN_PART int64_t place(int64_t first_block, int64_t first_value) const {
    return keeps_all() ? first_value / kChunkValues * count_ + first_block : 0;
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
                                const TileColumns<typename Unpacker::Shape>& columns,
                                int64_t first_block, int64_t n_blocks, const MatmulScratch& scratch,
                                PanelPrefetch& prefetch) {
  using Shape = typename Unpacker::Shape;
  const int64_t n_sums = n_blocks * kTileColumns * kPanelRows;
  std::memset(scratch.accumulator, 0, static_cast<size_t>((end - begin) * n_sums) * sizeof(float));
  for (int64_t k = 0; k < task.n_in; k += kChunkValues) {
    if (!columns.keeps_all()) columns.lay_scales(first_block, n_blocks, k);
    const TileBlocks blocks = columns.blocks(first_block, n_blocks, k);
    for (int64_t panel = begin; panel < end; ++panel) {
      const PanelChunk chunk = panel_chunk(task, panel * kPanelRows, k, kChunkValues, scratch.tail);
      unpack_blocks<Unpacker, SignedPanelOut<Unpacker>>(chunk, scratch.panel, prefetch);
      multiply_blocks<Shape>(scratch.panel, chunk.n_values, blocks,
                             scratch.accumulator + (panel - begin) * n_sums);
    }
  }
  int64_t firsts[kPassBlocks];
  for (int64_t i = 0; i < n_blocks; ++i) firsts[i] = tile_column(task, first_block + i);
  store_tile_panels(task, begin, end, firsts, n_blocks, scratch.accumulator);
}

// The matrix product; tiles are configured and there are at least kTileColumns columns.
template <typename Unpacker>
QUERN_PART void multiply_all(const MatmulTask& task, int64_t begin, int64_t end,
                             const MatmulScratch& scratch) {
  const TileColumns<typename Unpacker::Shape> columns(task, scratch);
  if (columns.keeps_all()) {
    for (int64_t k = 0; k < task.n_in; k += kChunkValues) {
      columns.lay_scales(0, columns.count(), k);
    }
  }
  const int64_t together = columns.keeps_all() ? 1 : kTilePanels;
  ask_for_first(task, begin, scratch);
  for (int64_t panel = begin; panel < end; panel += together) {
    const int64_t last = panel + together < end ? panel + together : end;
    PanelPrefetch prefetch = ask_for_next(task, last, end, together);
    for (int64_t block = 0; block < columns.count(); block += kPassBlocks) {
      const int64_t left = columns.count() - block;
      multiply_panels<Unpacker>(task, panel, last, columns, block,
                                left < kPassBlocks ? left : kPassBlocks, scratch, prefetch);
    }
  }
}

}  // namespace
}  // namespace quern::cpu
