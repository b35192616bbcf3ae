// Multiplies one column by tile products (AMX-INT8), so that decoding waits for memory and not for
// the vector units.
//
// A tile holds 64 bytes of each of 16 weight rows, in the order in which they lie in the file: no
// transposing. The column's values are spread over a tile for each of these, with a column of the
// tile for each group and zeros elsewhere. The products of 16 groups thus come to lie side by side
// as exact sums, [row][group]; those are transposed, an eighth of the work that
// transposing the weights would be, and scaled in the order of the contract, as in DotOut::add_to.
//
// Included after a tile unit (tile_amx.h, or the tests' emulation), vec_avx512.h and unpack-inl.h.
#pragma once

#include "kernels/cpu/unpack-inl.h"

namespace quern::cpu {
namespace {

inline constexpr int kTileBytes = 1024;
inline constexpr int kTileGroups = 16;  // whose sums fit in a tile
// Panels that share the loads of the spread column.
inline constexpr int kColumnPanels = 2;
// Into the second-level cache: the nearest one is taken up by the tiles.
using ColumnPrefetch = StreamPrefetch<2>;

// How the rows of a format come into tiles: a unit of kUnitValues values fills whole tiles.
//
//   value_of(tile, quad)   the value, of the unit, in byte 4 * quad of the tile's row
//   put(unit, to)          writes a row of each tile; tile t at to + t * kTileBytes
//
// Bytes are those that the format's unpacker puts into a panel.
template <typename Unpacker>
struct TileRows;

QUERN_INLINE NI load64(const std::byte* at) {
  return n_load_bytes(reinterpret_cast<const uint8_t*>(at));
}
// 32 bytes twice.
QUERN_INLINE NI load32_twice(const std::byte* at) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
QUERN_INLINE NI load16(const std::byte* at) {
  return _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
QUERN_INLINE __m128i lane16(const std::byte* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}
// The 16 bytes at `at` of 4 blocks in a row.
template <int block_bytes>
QUERN_INLINE NI load16_of4(const std::byte* at) {
  NI v = load16(at);
  v = _mm512_mask_broadcast_i32x4(v, 0x00F0, lane16(at + block_bytes));
  v = _mm512_mask_broadcast_i32x4(v, 0x0F00, lane16(at + 2 * block_bytes));
  return _mm512_mask_broadcast_i32x4(v, 0xF000, lane16(at + 3 * block_bytes));
}
QUERN_INLINE void put_tile_row(uint8_t* to, int tile, NI bytes) {
  n_store_bytes(to + tile * kTileBytes, bytes);
}

// Q4_K and Q5_K: low and high nibbles of 32 bytes are groups g and g + 1, so those of 64 bytes are
// g and g + 2 in one tile, g + 1 and g + 3 in the next.
struct KTileOrder {
  static constexpr int kUnitValues = 256;
  static constexpr int value_of(int tile, int quad) {
    return 32 * (4 * (tile / 2) + tile % 2 + 2 * (quad / 8)) + 4 * (quad % 8);
  }
};

template <>
struct TileRows<UnpackQ4_K> : KTileOrder {
  static QUERN_PART void put(const std::byte* unit, uint8_t* to) {
    QUERN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const NI v = load64(unit + 16 + 64 * half);
      put_tile_row(to, 2 * half, low_nibbles(v));
      put_tile_row(to, 2 * half + 1, high_nibbles(v));
    }
  }
};

template <>
struct TileRows<UnpackQ5_K> : KTileOrder {
  // Adds the fifth bits of groups `first` and first + 2.
  template <int first>
  static QUERN_PART NI with_fifth(NI nibbles, NI fifth) {
    const NI bits =
        _mm512_mask_mov_epi32(byte_mask(1 << first), 0xFF00, byte_mask(1 << (first + 2)));
    return _mm512_mask_add_epi8(nibbles, _mm512_test_epi8_mask(fifth, bits), nibbles,
                                byte_mask(16));
  }
  static QUERN_PART void put(const std::byte* unit, uint8_t* to) {
    const NI fifth = load32_twice(unit + 16);
    const NI a = load64(unit + 48);
    const NI b = load64(unit + 112);
    put_tile_row(to, 0, with_fifth<0>(low_nibbles(a), fifth));
    put_tile_row(to, 1, with_fifth<1>(high_nibbles(a), fifth));
    put_tile_row(to, 2, with_fifth<4>(low_nibbles(b), fifth));
    put_tile_row(to, 3, with_fifth<5>(high_nibbles(b), fifth));
  }
};

template <>
struct TileRows<UnpackQ6_K> {
  static constexpr int kUnitValues = 256;
  static constexpr int value_of(int tile, int quad) { return 64 * tile + 4 * quad; }
  static QUERN_PART void put(const std::byte* unit, uint8_t* to) {
    const NI two = byte_mask(0x30);
    QUERN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const NI low = load64(unit + 64 * half);
      // Bits 0..1 and 2..3 of these belong to the two halves of the first tile, 4..5 and 6..7 to
      // those of the second.
      const NI high = load32_twice(unit + 128 + 32 * half);
      const NI first = _mm512_mask_slli_epi32(n_shl<4>(high), 0xFF00, high, 2);
      const NI second = _mm512_mask_srli_epi32(high, 0xFF00, high, 2);
      put_tile_row(to, 2 * half, n_or(low_nibbles(low), n_and(first, two)));
      put_tile_row(to, 2 * half + 1, n_or(high_nibbles(low), n_and(second, two)));
    }
  }
};

// Nibbles of 16 bytes are the 32 values of a group, low ones first. Four groups fill two tiles.
struct NibbleTileOrder {
  static constexpr int value_of(int tile, int quad) {
    return 128 * (tile / 2) + 32 * (quad / 4) + 16 * (tile % 2) + 4 * (quad % 4);
  }
};

template <>
struct TileRows<UnpackQ4_0> : NibbleTileOrder {
  static constexpr int kUnitValues = 128;
  static QUERN_PART void put(const std::byte* unit, uint8_t* to) {
    const NI v = load16_of4<18>(unit + 2);
    put_tile_row(to, 0, low_nibbles(v));
    put_tile_row(to, 1, high_nibbles(v));
  }
};

template <>
struct TileRows<UnpackIQ4_XS> : NibbleTileOrder {
  static constexpr int kUnitValues = 256;
  static QUERN_PART void put(const std::byte* unit, uint8_t* to) {
    const NI steps = n_xor(n_table16(formats::kIq4Values), wide_flip());
    QUERN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const NI v = load64(unit + 8 + 64 * half);
      put_tile_row(to, 2 * half, n_lookup(steps, low_nibbles(v)));
      put_tile_row(to, 2 * half + 1, n_lookup(steps, high_nibbles(v)));
    }
  }
};

template <>
struct TileRows<UnpackIQ4_NL> : NibbleTileOrder {
  static constexpr int kUnitValues = 128;
  static QUERN_PART void put(const std::byte* unit, uint8_t* to) {
    const NI steps = n_xor(n_table16(formats::kIq4Values), wide_flip());
    const NI v = load16_of4<18>(unit + 2);
    put_tile_row(to, 0, n_lookup(steps, low_nibbles(v)));
    put_tile_row(to, 1, n_lookup(steps, high_nibbles(v)));
  }
};

template <>
struct TileRows<UnpackQ8_0> {
  static constexpr int kUnitValues = 64;
  static constexpr int value_of(int tile, int quad) { return 64 * tile + 4 * quad; }
  static QUERN_PART void put(const std::byte* unit, uint8_t* to) {
    const auto bytes = [&](int64_t at) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(unit + at));
    };
    const NI v = _mm512_inserti64x4(_mm512_castsi256_si512(bytes(2)), bytes(36), 1);
    put_tile_row(to, 0, n_xor(v, wide_flip()));
  }
};

// Takes the scales of a block and leaves the rest of it.
template <typename Unpacker>
struct ScaleOut {
  static constexpr int kGroups = Unpacker::Format::kBlockValues / Unpacker::Format::kGroupValues;
  NF scale[kGroups];
  NF min[kGroups];

  QUERN_PART void put_q(int /*value*/, NI /*bytes*/) {}
  QUERN_PART void put_scale(int group, NF v) { scale[group] = v; }
  QUERN_PART void put_min(int group, NF v) { min[group] = v; }
};

// to[i], lane r: lane i of from[r].
QUERN_PART void transpose_sums(const int32_t (*from)[kTileGroups], NI* to) {
  NI a[16];
  const auto row = [&](int r) { return n_load_bytes(reinterpret_cast<const uint8_t*>(from[r])); };
  QUERN_UNROLL
  for (int i = 0; i < 4; ++i) {
    // Rows 4i..4i+3: their lanes 4j..4j+3 as 128-bit part j of a[4i + lane].
    const NI ab_low = _mm512_unpacklo_epi32(row(4 * i), row(4 * i + 1));
    const NI ab_high = _mm512_unpackhi_epi32(row(4 * i), row(4 * i + 1));
    const NI cd_low = _mm512_unpacklo_epi32(row(4 * i + 2), row(4 * i + 3));
    const NI cd_high = _mm512_unpackhi_epi32(row(4 * i + 2), row(4 * i + 3));
    a[4 * i] = _mm512_unpacklo_epi64(ab_low, cd_low);
    a[4 * i + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
    a[4 * i + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
    a[4 * i + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
  }
  QUERN_UNROLL
  for (int lane = 0; lane < 4; ++lane) {
    const NI x = _mm512_shuffle_i32x4(a[lane], a[4 + lane], 0x88);
    const NI y = _mm512_shuffle_i32x4(a[lane], a[4 + lane], 0xDD);
    const NI z = _mm512_shuffle_i32x4(a[8 + lane], a[12 + lane], 0x88);
    const NI w = _mm512_shuffle_i32x4(a[8 + lane], a[12 + lane], 0xDD);
    to[lane] = _mm512_shuffle_i32x4(x, z, 0x88);
    to[4 + lane] = _mm512_shuffle_i32x4(y, w, 0x88);
    to[8 + lane] = _mm512_shuffle_i32x4(x, z, 0xDD);
    to[12 + lane] = _mm512_shuffle_i32x4(y, w, 0xDD);
  }
}

template <typename Unpacker>
class TileColumn {
 public:
  using Format = typename Unpacker::Format;
  using Shape = typename Unpacker::Shape;
  using Rows = TileRows<Unpacker>;

  // Whether the matrix is one that this can multiply.
  static bool fits(const MatmulTask& task) {
    return task.n_rows == 1 && task.n_in % Rows::kUnitValues == 0 &&
           task.n_in <= task.spread_values;
  }

  TileColumn(const MatmulTask& task, const MatmulScratch& scratch)
      : task_(task), x_(columns_at(task.xq, Shape::kGroup, 0, 0)), spread_(scratch.spread->tiles) {
    spread(*scratch.spread);
  }

  // The results of n panels of 16 rows each from first_row.
  template <int n>
  void run(int64_t first_row, ColumnPrefetch prefetch) const {
    NF sum[n];
    QUERN_UNROLL
    for (int p = 0; p < n; ++p) sum[p] = n_set(0);
    for (int64_t value = 0; value < task_.n_in; value += kWindowValues) {
      const int64_t left = task_.n_in - value;
      const int n_values = left < kWindowValues ? static_cast<int>(left) : kWindowValues;
      prefetch.advance(n * kPanelRows * task_.row_bytes * n_values / task_.n_in);
      add_window<n>(first_row, value, n_values, sum);
    }
    for (int p = 0; p < n; ++p) {
      alignas(64) float results[kPanelRows];
      n_store(results, sum[p]);
      store_panel(task_, first_row + p * kPanelRows, 0, 1, results);
    }
  }

 private:
  static constexpr int kGroup = Shape::kGroup;
  static constexpr int kWindowValues = kTileGroups * kGroup;
  static constexpr int kWindowTiles = kWindowValues / 64;
  static constexpr int kUnitTiles = Rows::kUnitValues / 64;
  static constexpr int64_t kUnitBytes =
      Rows::kUnitValues / Format::kBlockValues * sizeof(typename Format::Block);

  // Makes the tiles of the column, unless the last call has made the same ones.
  QUERN_PART void spread(SpreadColumn& kept) {
    constexpr auto kPattern = static_cast<int64_t>(Format::kGgufCode);
    const int64_t n_tiles = task_.n_in / 64;
    if (kept.version == task_.x_version && kept.pattern == kPattern) return;
    if (kept.pattern != kPattern || kept.n_tiles < n_tiles) {
      std::memset(kept.tiles, 0, static_cast<size_t>(n_tiles * kTileBytes));
      kept.n_tiles = n_tiles;
    }
    kept.pattern = kPattern;
    kept.version = task_.x_version;
    for (int64_t tile = 0; tile < n_tiles; tile += kUnitTiles) {
      const int64_t first = tile * 64;
      QUERN_UNROLL
      for (int t = 0; t < kUnitTiles; ++t) {
        uint8_t* to = kept.tiles + (tile + t) * kTileBytes;
        QUERN_UNROLL
        for (int quad = 0; quad < 16; ++quad) {
          const int64_t value = first + Rows::value_of(t, quad);
          const int64_t column = value / kGroup % kTileGroups;
          std::memcpy(to + 64 * quad + 4 * column, task_.xq.q + value, 4);
        }
      }
    }
  }

  // Adds the products of 16 groups, or those that are left, to the sums of n panels.
  template <int n>
  QUERN_PART void add_window(int64_t first_row, int64_t value, int n_values, NF* sum) const {
    alignas(64) uint8_t tiles[n][kWindowTiles][kTileBytes];
    alignas(64) int32_t dots[n][kPanelRows][kTileGroups];
    const int n_units = n_values / Rows::kUnitValues;
    const std::byte* from =
        task_.weight + first_row * task_.row_bytes + value / Rows::kUnitValues * kUnitBytes;
    for (int r = 0; r < n * kPanelRows; ++r) {
      const std::byte* unit = from + r * task_.row_bytes;
      uint8_t* to = tiles[r / kPanelRows][0] + 64 * (r % kPanelRows);
      for (int u = 0; u < n_units; ++u) {
        Rows::put(unit, to);
        unit += kUnitBytes;
        to += kUnitTiles * kTileBytes;
      }
    }
    tile_zero<0>();
    if constexpr (n == 2) tile_zero<1>();
    const uint8_t* column = spread_ + value / 64 * kTileBytes;
    for (int t = 0; t < n_units * kUnitTiles; ++t) {
      tile_load<4>(column + t * kTileBytes, 64);
      tile_load<2>(tiles[0][t], 64);
      tile_dot_rows<0>();
      if constexpr (n == 2) {
        tile_load<3>(tiles[n - 1][t], 64);
        tile_dot_rows<1>();
      }
    }
    tile_store<0>(dots[0], 64);
    if constexpr (n == 2) tile_store<1>(dots[n - 1], 64);
    for (int p = 0; p < n; ++p) {
      sum[p] = add_scaled_groups(first_row + p * kPanelRows, value, n_values, dots[p], sum[p]);
    }
  }

  QUERN_PART NF add_scaled_groups(int64_t first_row, int64_t value, int n_values,
                                  const int32_t (*dots)[kTileGroups], NF sum) const {
    NI dot[kTileGroups];
    transpose_sums(dots, dot);
    const RowSet rows = {task_.weight + first_row * task_.row_bytes, task_.row_bytes};
    constexpr int kGroups = ScaleOut<Unpacker>::kGroups;
    constexpr int kBlocks = kWindowValues / Format::kBlockValues;
    int64_t group = value / kGroup;
    int64_t at =
        value / Format::kBlockValues * static_cast<int64_t>(sizeof(typename Format::Block));
    QUERN_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      if (b * Format::kBlockValues >= n_values) break;
      ScaleOut<Unpacker> out;
      Unpacker::block(rows, at, out);
      QUERN_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        NI d = dot[b * kGroups + g];
        if constexpr (Shape::kCode == PanelCode::kOffset) {
          d = n_add_int(d, n_shl<Unpacker::kOffsetShift>(n_set_int(x_.neg_sum[group + g])));
        }
        const NF da = n_set(x_.d[(group + g) * kGroup / 32]);
        sum = n_fma(n_to_float(d), n_mul(out.scale[g], da), sum);
        if constexpr (Shape::kMin) sum = n_fnma(out.min[g], n_set(x_.sum_d[group + g]), sum);
      }
      group += kGroups;
      at += static_cast<int64_t>(sizeof(typename Format::Block));
    }
    return sum;
  }

  const MatmulTask& task_;
  PanelColumns x_;
  const uint8_t* spread_;
};

// The panels begin..end-1, all of them full.
template <typename Unpacker>
void tile_column_panels(const MatmulTask& task, int64_t begin, int64_t end,
                        const MatmulScratch& scratch) {
  const TileColumn<Unpacker> column(task, scratch);
  const int64_t panel_bytes = kPanelRows * task.row_bytes;
  const std::byte* weight_end = task.weight + task.n_out * task.row_bytes;
  // What comes after panel `panel`, as much as two panels.
  const auto after = [&](int64_t panel) {
    const std::byte* next = panel < end ? task.weight + panel * panel_bytes : task.following;
    if (next == nullptr) return ColumnPrefetch(nullptr, nullptr);
    return ColumnPrefetch(next, panel < end ? weight_end : next + kColumnPanels * panel_bytes);
  };
  if (*scratch.following != task.weight + begin * panel_bytes) {
    after(begin).advance(kColumnPanels * panel_bytes);
  }
  *scratch.following = task.following;
  tile_configure(kColumnTileConfig);
  int64_t panel = begin;
  for (; panel + kColumnPanels <= end; panel += kColumnPanels) {
    column.template run<kColumnPanels>(panel * kPanelRows, after(panel + kColumnPanels));
  }
  if (panel < end) column.template run<1>(panel * kPanelRows, after(panel + 1));
  tile_release();
}

}  // namespace
}  // namespace quern::cpu
