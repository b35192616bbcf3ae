// The tiles that the AMX kernels use, in the 64 bytes that LDTILECFG reads.
//
//   tiles 0, 1   sums: 16 columns of activations x 16 weight rows, int32
//   tiles 2, 3   activations: 16 columns x 32 values of K, signed bytes
//   tiles 4, 5   weights: 8 x 16 rows x 4 values of K, unsigned bytes, as a panel has them
#pragma once

#include <cstdint>

namespace quern::cpu {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

inline constexpr TileConfig kTileConfig = {
    1, 0, {}, {64, 64, 32, 32, 64, 64}, {16, 16, 16, 16, 8, 8}};

}  // namespace
}  // namespace quern::cpu
