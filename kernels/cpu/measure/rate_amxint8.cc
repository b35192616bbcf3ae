// Products of whole AMX tiles: 16 rows x 16 columns x 64 values. The thread must have the operating
// system's permission to use tiles.
#include <immintrin.h>

#include "kernels/cpu/measure/rate_kernel.h"

namespace quern::cpu {
namespace {

// Tiles of sums in flight: more than the latency of a product asks for.
constexpr int kChains = 4;
constexpr int kTileRows = 16;
constexpr int kTileBytes = 64;  // of a row

// All eight tiles at their full size.
struct alignas(64) FullTiles {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(FullTiles) == 64);

int64_t int8_rate(int64_t iterations) {
  static constexpr FullTiles kTiles;
  alignas(64) int8_t weights[kTileBytes];
  alignas(64) int8_t activations[kTileBytes];
  for (int i = 0; i < kTileBytes; ++i) {
    weights[i] = 3;
    activations[i] = 5;
  }
  // The intrinsics do not say that they read memory.
  __asm__ volatile("" ::: "memory");
  _tile_loadconfig(&kTiles);
  _tile_loadd(6, activations, 0);
  _tile_loadd(7, weights, 0);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t i = 0; i < iterations; ++i) {
    _tile_dpbssd(0, 6, 7);
    _tile_dpbssd(1, 6, 7);
    _tile_dpbssd(2, 6, 7);
    _tile_dpbssd(3, 6, 7);
  }
  alignas(64) int32_t sums[kChains][kTileRows][kTileBytes / 4];
  _tile_stored(0, sums[0], kTileBytes);
  _tile_stored(1, sums[1], kTileBytes);
  _tile_stored(2, sums[2], kTileBytes);
  _tile_stored(3, sums[3], kTileBytes);
  _tile_release();
  int64_t sum = 0;
  for (const auto& tile : sums) {
    for (const auto& row : tile) {
      for (const int32_t value : row) sum += value;
    }
  }
  return sum;
}

}  // namespace

const TileRateLoop kRateAmxInt8 = {2.0 * kChains * kTileRows * (kTileBytes / 4.0) * kTileBytes,
                                   int8_rate};

}  // namespace quern::cpu
