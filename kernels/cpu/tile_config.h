// The tiles that the AMX kernels use, in the 64 bytes that LDTILECFG reads.
//
//   tiles 0 to 3   sums: 16 columns of activations x 16 weight rows, int32
//   tiles 4, 5     activations: 16 columns x 1 group of values of K, signed bytes
//   tiles 6, 7     weights: group / 4 x 16 rows x 4 values of K, signed bytes, as a panel has them
//
// With super-blocks all tiles are whole, 16 x 64 bytes: see matmul_super_tiles-inl.h.
#pragma once

#include <cstdint>

namespace quern::cpu {
namespace {

// Columns of activations that a tile holds.
inline constexpr int kTileColumns = 16;
// The number of tiles of sums, which are the first ones, and the first of the other two kinds.
inline constexpr int kSumTiles = 4;
inline constexpr int kColumnTile = 4;
inline constexpr int kWeightTile = 6;

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

// For weights in groups of `group` values.
template <int group>
inline constexpr TileConfig kTileConfig = {1,
                                           0,
                                           {},
                                           {64, 64, 64, 64, group, group, 64, 64},
                                           {16, 16, 16, 16, 16, 16, group / 4, group / 4}};

}  // namespace
}  // namespace quern::cpu
