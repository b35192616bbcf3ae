// The tile unit of AMX-INT8 in plain C++, with the vocabulary of kernels/cpu/tile_amx.h, after the
// pseudo code of LDTILECFG, TILELOADD, TILESTORED and TDPBSSD in the Intel SDM, volume 2.
// What the processor answers with an invalid opcode fails a CHECK.
#pragma once

#include <cstdint>
#include <cstring>

#include "config/base/check.h"
#include "kernels/cpu/inlining.h"
#include "kernels/cpu/tile_config.h"

namespace quern::cpu {
namespace {

struct EmulatedTile {
  uint8_t bytes[16][64];
};
struct EmulatedTiles {
  bool configured;
  TileConfig config;
  EmulatedTile tiles[8];
};
// Like the registers, one set per thread.
thread_local EmulatedTiles emulated{};

inline void tile_configure(const TileConfig& config) {
  CHECK(config.palette == 1 && config.start_row == 0);
  for (const uint8_t byte : config.reserved) CHECK(byte == 0);
  for (int t = 0; t < 16; ++t) {
    const bool used = t < 8 && config.rows[t] != 0;
    CHECK(used == (config.row_bytes[t] != 0) && (used || config.rows[t] == 0));
    CHECK(config.rows[t] <= 16 && config.row_bytes[t] <= 64);
  }
  emulated = {};
  emulated.configured = true;
  emulated.config = config;
}
inline void tile_release() { emulated = {}; }

template <int tile>
inline void tile_check() {
  CHECK(emulated.configured && tile < 8 && emulated.config.rows[tile] != 0);
}

// Rows past the configured ones and bytes past the configured width become zero.
template <int tile>
inline void tile_load(const void* from, int64_t stride) {
  tile_check<tile>();
  std::memset(&emulated.tiles[tile], 0, sizeof(EmulatedTile));
  for (int r = 0; r < emulated.config.rows[tile]; ++r) {
    std::memcpy(emulated.tiles[tile].bytes[r], static_cast<const uint8_t*>(from) + r * stride,
                emulated.config.row_bytes[tile]);
  }
}

template <int tile>
inline void tile_store(void* to, int64_t stride) {
  tile_check<tile>();
  for (int r = 0; r < emulated.config.rows[tile]; ++r) {
    std::memcpy(static_cast<uint8_t*>(to) + r * stride, emulated.tiles[tile].bytes[r],
                emulated.config.row_bytes[tile]);
  }
}

// TDPBSSD of a tile of sums with the tiles of columns and weights of its parity.
template <int sums>
inline void tile_dot() {
  constexpr int kLeft = kColumnTile + sums % 2;
  constexpr int kRight = kWeightTile + sums % 2;
  tile_check<sums>();
  tile_check<kLeft>();
  tile_check<kRight>();
  const TileConfig& config = emulated.config;
  CHECK(config.row_bytes[kLeft] % 4 == 0 && config.row_bytes[sums] % 4 == 0);
  CHECK(config.row_bytes[kLeft] / 4 == config.rows[kRight]);
  CHECK(config.rows[kLeft] == config.rows[sums]);
  CHECK(config.row_bytes[kRight] == config.row_bytes[sums]);
  for (int m = 0; m < config.rows[sums]; ++m) {
    for (int n = 0; n < config.row_bytes[sums] / 4; ++n) {
      uint32_t sum;
      uint8_t* at = emulated.tiles[sums].bytes[m] + 4 * n;
      std::memcpy(&sum, at, sizeof(sum));
      for (int k = 0; k < config.row_bytes[kLeft]; ++k) {
        const int left = static_cast<int8_t>(emulated.tiles[kLeft].bytes[m][k]);
        const int right = static_cast<int8_t>(emulated.tiles[kRight].bytes[k / 4][4 * n + k % 4]);
        sum += static_cast<uint32_t>(left * right);
      }
      std::memcpy(at, &sum, sizeof(sum));
    }
  }
}

}  // namespace
}  // namespace quern::cpu
