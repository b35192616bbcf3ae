// Matrix products by tiles (AMX) with formats that have super-blocks: 32 weight rows x 16 columns
// of activations x 256 values of K at a time.
//
// Whole numbers scale the groups of a super-block, so they can be multiplied into the weights
// before the product. A weight times its factor takes up to 14 bits and a tile takes bytes, so it
// is split: 256 * high + low, two products whose sums are joined afterwards. A tile product is then
// always 64 values deep, and only the sums of 256 values leave the tiles: two stores of 256 sums
// where a product per group would need 8 or 16.
//
// The sums of activations that a minimum is multiplied with have up to 13 bits. They are the sum of
// two bf16 (SuperRows::sum_parts), and so are exact, as are the factors and all partial sums of
// their products (below 2^24): one tile product of bf16 gives them for a block.
//
// Two panels share each tile of columns. The sums of a block of columns are scaled between the
// products of the next block, so that neither waits.
//
// The values are those of multiply_super_panel, bit by bit. Included after a tile unit (tile_amx.h,
// or the tests' emulation) and vec_avx512.h.
#pragma once

#include "kernels/cpu/tile_columns-inl.h"

namespace quern::cpu {
namespace {

inline constexpr int kTileBytes = 64;
// A tile of so many columns, the others of which are dropped, takes less time than as many dot
// products.
inline constexpr int64_t kLeastSuperColumns = 9;
static_assert(kTileColumns - 1 <= kSpareSuperRows);
// Blocks of columns that share unpacked panels, and panels that share columns in the caches: as
// many of both as there are accumulators for.
inline constexpr int kSuperPassBlocks = 32;
inline constexpr int kSuperTilePanels = 4;
// So few blocks stay in the caches anyway: then panels are read one pair after the other.
inline constexpr int kSuperFewBlocks = 8;
static_assert(kSuperPassBlocks * kTileColumns * kSuperTilePanels == kTilePanels * kMaxPassColumns);

// Whether a weight times its factor is one byte.
template <typename Format>
constexpr bool products_fit_a_byte() {
  const int ends[] = {Format::kQMin * Format::kFactorMin, Format::kQMin * Format::kFactorMax,
                      Format::kQMax * Format::kFactorMin, Format::kQMax * Format::kFactorMax};
  for (const int end : ends) {
    if (end < -128 || end > 127) return false;
  }
  return true;
}

template <typename Unpacker>
struct SuperTiles {
  using Format = typename Unpacker::Format;
  using Shape = typename Unpacker::Shape;
  static constexpr bool kMin = Shape::kMin;
  static constexpr bool kSplit = !products_fit_a_byte<Format>();
};

// Where unpackers put a block of a panel, all 16 lanes: products of weights and factors.
template <typename Unpacker>
class SuperTileOut {
 public:
  using Format = typename Unpacker::Format;
  using Shape = typename Unpacker::Shape;

  QUERN_PART SuperTileOut(SuperTilePanel& panel, PanelPrefetch& prefetch)
      : panel_(panel), ahead_(prefetch) {}

  QUERN_PART void put_q(int value, NI bytes) {
    bytes = ahead_.step(bytes);
    const NI factor = factor_[value / Shape::kGroup];
    // Products of the even and the odd bytes, as words.
    NI even = n_pair_products(bytes, factor);
    NI odd = n_pair_products(bytes, n_shl_words<8>(factor));
    if constexpr (Shape::kCode == PanelCode::kOffset) {
      const NI offset = offset_[value / Shape::kGroup];
      even = n_sub_words(even, offset);
      odd = n_sub_words(odd, offset);
    }
    const NI low_bytes = n_set_int(0x00FF00FF);
    if constexpr (SuperTiles<Unpacker>::kSplit) {
      store(panel_.high[value / 4], n_blend_bits(low_bytes, n_shr_words<8>(even), odd));
      store(panel_.low[value / 4], n_blend_bits(low_bytes, even, n_shl_words<8>(odd)));
    } else {
      store(panel_.high[value / 4], n_blend_bits(low_bytes, even, n_shl_words<8>(odd)));
    }
  }
  QUERN_PART void put_block_scale(NF v) { n_store(panel_.scale, v); }
  QUERN_PART void put_block_min(NF v) { n_store(panel_.min_scale, v); }
  QUERN_PART void put_factor(int group, NI v) {
    const NI words = words_of(v, v);
    factor_[group] = n_and(words, n_set_int(0x00FF00FF));
    if constexpr (Shape::kCode == PanelCode::kOffset) {
      offset_[group] = n_shl_words<Unpacker::kOffsetShift>(words);
    }
  }
  QUERN_PART void put_min_factor(int group, NI v) {
    const NI bits = n_bits(n_to_float(v));  // a whole number below 256: the lower half is zero
    const NI twice = n_or(bits, n_shr<16>(bits));
    constexpr int kHalves = Format::kGroupValues / 16;
    for (int h = 0; h < kHalves; ++h) {
      n_store_bytes(reinterpret_cast<uint8_t*>(panel_.min[group * kHalves + h]), twice);
    }
  }

 private:
  static constexpr int kGroups = kSuperValues / Format::kGroupValues;

  template <typename Byte>
  static QUERN_PART void store(Byte (&to)[kPanelRows][4], NI v) {
    n_store_bytes(reinterpret_cast<uint8_t*>(to), v);
  }

  SuperTilePanel& panel_;
  BlockAhead<Format> ahead_;
  NI factor_[kGroups];
  NI offset_[kGroups];
};

// The sums of one block of columns with one panel.
struct SuperTileSums {
  alignas(64) int32_t high[kTileColumns][kPanelRows];
  alignas(64) int32_t low[kTileColumns][kPanelRows];
  alignas(64) float min[kTileColumns][kPanelRows];
};

// Columns of a pass at some super-block of K.
struct SuperTileColumns {
  const int8_t* q;            // [columns][kSuperValues]
  const float* d;             // [columns]
  const uint32_t* sum_parts;  // [columns][kSuperHalves]

  QUERN_PART SuperTileColumns(const SuperRows& x, int64_t first_value) {
    const int64_t rows = first_value / kSuperValues * x.block_rows;
    q = x.q + rows * kSuperValues;
    d = x.d + rows;
    sum_parts = x.sum_parts + rows * kSuperHalves;
  }
};

// The sums of a block of columns that are to be scaled while the products of the next one are under
// way, a quarter of the columns at a time.
template <typename Tiles, int n_panels>
struct SumsBehind {
  const SuperTilePanel* panels;
  const SuperTileSums* sums;  // [n_panels], or null: there are none
  const float* d;             // [kTileColumns]
  float* accumulator;         // [kTileColumns][kPanelRows]
  int64_t panel_floats;       // from the accumulators of the first panel to those of the second

  QUERN_PART static NI load_sums(const int32_t* p) {
    return n_load_bytes(reinterpret_cast<const uint8_t*>(p));
  }

  template <int panel>
  QUERN_PART void add_quarter(int quarter) const {
    const SuperTileSums& from = sums[panel];
    const NF scale = n_load(panels[panel].scale);
    QUERN_UNROLL
    for (int i = 0; i < kTileColumns / 4; ++i) {
      const int c = quarter * (kTileColumns / 4) + i;
      NI sum = load_sums(from.high[c]);
      if constexpr (Tiles::kSplit) sum = n_add_int(n_shl<8>(sum), load_sums(from.low[c]));
      NF block = n_mul(n_to_float(sum), scale);
      if constexpr (Tiles::kMin) {
        const NF min = n_mul(n_load(from.min[c]), n_load(panels[panel].min_scale));
        block = n_fms(n_to_float(sum), scale, min);
      }
      float* to = accumulator + panel * panel_floats + c * kPanelRows;
      n_store(to, n_fma(block, n_set(d[c]), n_load(to)));
    }
  }
};

// Tiles of sums: 0 and 1 of the first panel, high and low, 2 and 3 of the second one; 0 and 1 again
// for minima. The others take what is multiplied, in turns.
inline constexpr int kSuperColumnTile = 4;

template <int sums, int tile>
QUERN_PART void dot_high(const int8_t (*weights)[kPanelRows][4]) {
  tile_load<tile>(weights, kTileBytes);
  tile_dot<sums, kSuperColumnTile, tile>();
}
template <int sums, int tile>
QUERN_PART void dot_low(const uint8_t (*weights)[kPanelRows][4]) {
  tile_load<tile>(weights, kTileBytes);
  tile_dot_unsigned<sums, kSuperColumnTile, tile>();
}

template <int sums, int tile>
QUERN_PART void dot_min(const SuperTilePanel& panel) {
  tile_zero<sums>();
  tile_load<tile>(panel.min, kTileBytes);
  tile_dot_bf16<sums, kSuperColumnTile, tile>();
}

// Stores the sums of values, and multiplies those of minima.
template <typename Tiles, int n_panels>
QUERN_PART void finish_super_block(const SuperTilePanel* panels, const uint32_t* sum_parts,
                                   SuperTileSums* out) {
  if constexpr (Tiles::kMin) tile_load<kSuperColumnTile>(sum_parts, kTileBytes);
  tile_store<0>(out[0].high, kTileBytes);
  if constexpr (Tiles::kMin) dot_min<0, 5>(panels[0]);
  if constexpr (Tiles::kSplit) tile_store<1>(out[0].low, kTileBytes);
  if constexpr (n_panels == 2) {
    if constexpr (Tiles::kMin) dot_min<1, 6>(panels[1]);
    tile_store<2>(out[1].high, kTileBytes);
    if constexpr (Tiles::kSplit) tile_store<3>(out[1].low, kTileBytes);
  }
  if constexpr (Tiles::kMin) {
    tile_store<0>(out[0].min, kTileBytes);
    if constexpr (n_panels == 2) tile_store<1>(out[1].min, kTileBytes);
  }
}

// The sums of a super-block of n_panels panels with 16 columns, and what is `behind`.
template <typename Tiles, int n_panels>
QUERN_PART void multiply_super_block(const SuperTilePanel* panels, const int8_t* q,
                                     const uint32_t* sum_parts,
                                     const SumsBehind<Tiles, n_panels>& behind,
                                     SuperTileSums* out) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  QUERN_UNROLL
  for (int quarter = 0; quarter < kSuperValues / kTileBytes; ++quarter) {
    const int from = quarter * kTileBytes / 4;
    tile_load<kSuperColumnTile>(q + quarter * kTileBytes, kSuperValues);
    dot_high<0, 5>(panels[0].high + from);
    if constexpr (Tiles::kSplit) dot_low<1, 6>(panels[0].low + from);
    if (behind.sums != nullptr) behind.template add_quarter<0>(quarter);
    if constexpr (n_panels == 2) {
      dot_high<2, 7>(panels[1].high + from);
      if constexpr (Tiles::kSplit) dot_low<3, 5>(panels[1].low + from);
      if (behind.sums != nullptr) behind.template add_quarter<1>(quarter);
    }
  }
  finish_super_block<Tiles, n_panels>(panels, sum_parts, out);
}

// Multiplies a super-block of n_panels panels with n_blocks blocks of columns, block i from
// columns[i]. The accumulators of the second panel begin panel_floats after those of the first.
template <typename Tiles, int n_panels>
[[gnu::noinline]] void multiply_super_blocks(const SuperTilePanel* panels,
                                             const SuperTileColumns& x, const int64_t* columns,
                                             int64_t n_blocks, float* accumulator,
                                             int64_t panel_floats) {
  SuperTileSums sums[2][n_panels];
  SumsBehind<Tiles, n_panels> behind = {panels, nullptr, nullptr, accumulator, panel_floats};
  for (int64_t i = 0; i < n_blocks; ++i) {
    multiply_super_block<Tiles, n_panels>(panels, x.q + columns[i] * kSuperValues,
                                          x.sum_parts + columns[i] * kSuperHalves, behind,
                                          sums[i % 2]);
    behind.sums = sums[i % 2];
    behind.d = x.d + columns[i];
    behind.accumulator = accumulator + i * kTileColumns * kPanelRows;
  }
  for (int quarter = 0; quarter < 4; ++quarter) {
    behind.template add_quarter<0>(quarter);
    if constexpr (n_panels == 2) behind.template add_quarter<1>(quarter);
  }
}

// Panels begin to end - 1, at most kSuperTilePanels, times some blocks of columns. Pairs of panels
// take turns chunk by chunk, so that a chunk of the columns stays in the caches.
template <typename Unpacker>
QUERN_PART void multiply_super_pass(const MatmulTask& task, int64_t begin, int64_t end,
                                    const int64_t* columns, int64_t n_blocks,
                                    const MatmulScratch& scratch, PanelPrefetch& prefetch) {
  using Tiles = SuperTiles<Unpacker>;
  constexpr int kBytes = sizeof(typename Unpacker::Format::Block);
  const int64_t panel_floats = n_blocks * kTileColumns * kPanelRows;
  std::memset(scratch.accumulator, 0,
              static_cast<size_t>((end - begin) * panel_floats) * sizeof(float));
  for (int64_t k = 0; k < task.n_in; k += kChunkValues) {
    for (int64_t panel = begin; panel < end; panel += 2) {
      const int n_panels = panel + 1 < end ? 2 : 1;
      float* accumulator = scratch.accumulator + (panel - begin) * panel_floats;
      for (int64_t value = k; value < task.n_in && value < k + kChunkValues;
           value += kSuperValues) {
        for (int p = 0; p < n_panels; ++p) {
          const PanelChunk chunk =
              panel_chunk(task, (panel + p) * kPanelRows, value, kSuperValues, scratch.tail);
          SuperTileOut<Unpacker> out(scratch.super_panels[p], prefetch);
          Unpacker::block(chunk.rows, chunk.first_value / kSuperValues * kBytes, out);
        }
        const SuperTileColumns x(task.xs, value);
        (n_panels == 2 ? multiply_super_blocks<Tiles, 2>
                       : multiply_super_blocks<Tiles, 1>)(scratch.super_panels, x, columns,
                                                          n_blocks, accumulator, panel_floats);
      }
    }
  }
  store_tile_panels(task, begin, end, columns, n_blocks, scratch.accumulator);
}

// The matrix product; tiles are configured.
template <typename Unpacker>
QUERN_PART void multiply_super_all(const MatmulTask& task, int64_t begin, int64_t end,
                                   const MatmulScratch& scratch) {
  const int64_t n_blocks = tile_blocks(task);
  ask_for_first(task, begin, scratch);
  const int64_t together = n_blocks <= kSuperFewBlocks ? 2 : kSuperTilePanels;
  for (int64_t panel = begin; panel < end; panel += together) {
    const int64_t last = smaller(panel + together, end);
    PanelPrefetch prefetch = ask_for_next(task, last, end, together);
    for (int64_t block = 0; block < n_blocks; block += kSuperPassBlocks) {
      int64_t columns[kSuperPassBlocks];
      int64_t count = 0;
      for (; count < kSuperPassBlocks && block + count < n_blocks; ++count) {
        columns[count] = tile_column(task, block + count);
      }
      multiply_super_pass<Unpacker>(task, panel, last, columns, count, scratch, prefetch);
    }
  }
}

}  // namespace
}  // namespace quern::cpu
