// The tile unit of AMX-INT8 and AMX-BF16 in plain C++, with the vocabulary of
// kernels/cpu/tile_amx.h, after the pseudo code of LDTILECFG, TILEZERO, TILELOADD, TILESTORED,
// TDPBSSD, TDPBSUD and TDPBF16PS in the Intel SDM, volume 2. What the processor answers with an
// invalid opcode fails a CHECK.
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

template <int tile>
inline void tile_zero() {
  tile_check<tile>();
  std::memset(&emulated.tiles[tile], 0, sizeof(EmulatedTile));
}

// For every element of the tile of sums, add(sum, 4 bytes of a column, 4 bytes of a weight row)
// over all of their depth.
template <int sums, int columns, int weights, typename Sum, typename Add>
inline void tile_product(Add add) {
  tile_check<sums>();
  tile_check<columns>();
  tile_check<weights>();
  static_assert(sums != columns && sums != weights && columns != weights);
  const TileConfig& config = emulated.config;
  CHECK(config.row_bytes[columns] % 4 == 0 && config.row_bytes[sums] % 4 == 0);
  CHECK(config.row_bytes[columns] / 4 == config.rows[weights]);
  CHECK(config.rows[columns] == config.rows[sums]);
  CHECK(config.row_bytes[weights] == config.row_bytes[sums]);
  for (int m = 0; m < config.rows[sums]; ++m) {
    for (int n = 0; n < config.row_bytes[sums] / 4; ++n) {
      uint8_t* at = emulated.tiles[sums].bytes[m] + 4 * n;
      Sum sum;
      std::memcpy(&sum, at, sizeof(sum));
      for (int k = 0; k < config.row_bytes[columns] / 4; ++k) {
        add(sum, emulated.tiles[columns].bytes[m] + 4 * k,
            emulated.tiles[weights].bytes[k] + 4 * n);
      }
      std::memcpy(at, &sum, sizeof(sum));
    }
  }
}

// TDPBSSD.
template <int sums, int columns, int weights>
inline void tile_dot() {
  tile_product<sums, columns, weights, uint32_t>(
      [](uint32_t& sum, const uint8_t* left, const uint8_t* right) {
        for (int i = 0; i < 4; ++i) {
          const int product = static_cast<int8_t>(left[i]) * static_cast<int8_t>(right[i]);
          sum += static_cast<uint32_t>(product);
        }
      });
}

// TDPBSUD.
template <int sums, int columns, int weights>
inline void tile_dot_unsigned() {
  tile_product<sums, columns, weights, uint32_t>(
      [](uint32_t& sum, const uint8_t* left, const uint8_t* right) {
        for (int i = 0; i < 4; ++i) {
          sum += static_cast<uint32_t>(static_cast<int8_t>(left[i]) * int{right[i]});
        }
      });
}

// TDPBF16PS: the odd and the even elements apart, rounded to nearest even after every step; what is
// subnormal counts as zero and does not occur here.
template <int sums, int columns, int weights>
inline void tile_dot_bf16() {
  tile_product<sums, columns, weights, float>(
      [](float& sum, const uint8_t* left, const uint8_t* right) {
        const auto element = [](const uint8_t* from, int i) {
          uint16_t half;
          std::memcpy(&half, from + 2 * i, sizeof(half));
          const uint32_t bits = uint32_t{half} << 16;
          CHECK((bits & 0x7FFFFFFFU) == 0 || (bits & 0x7F800000U) != 0);
          return __builtin_bit_cast(float, bits);
        };
        for (int i = 0; i < 2; ++i) sum += element(left, i) * element(right, i);
      });
}

}  // namespace
}  // namespace quern::cpu
