// The tile unit of AMX-INT8: what matmul_tiles-inl.h asks of it, as the processor's instructions.
//
// Tiles are numbered 0..7 and have the shapes of the configuration of the calling thread. The
// process must have the operating system's permission (config/hardware/isa_probe.cc), or the first
// instruction on a tile ends it. Source: Intel SDM volume 1 chapter 18 and volume 2.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/inlining.h"
#include "kernels/cpu/tile_config.h"

namespace quern::cpu {
namespace {

// The instructions take the number of a tile as text.
#define QUERN_EACH_TILE(call)       \
  if constexpr (tile == 0) {        \
    call(0)                         \
  } else if constexpr (tile == 1) { \
    call(1)                         \
  } else if constexpr (tile == 2) { \
    call(2)                         \
  } else if constexpr (tile == 3) { \
    call(3)                         \
  } else if constexpr (tile == 4) { \
    call(4)                         \
  } else if constexpr (tile == 5) { \
    call(5)                         \
  } else if constexpr (tile == 6) { \
    call(6)                         \
  } else {                          \
    static_assert(tile == 7);       \
    call(7)                         \
  }

// The compiler's intrinsics for loads do not say that they read memory.
QUERN_INLINE void tile_fence() { __asm__ volatile("" ::: "memory"); }

QUERN_INLINE void tile_configure(const TileConfig& config) {
  tile_fence();
  _tile_loadconfig(&config);
}
// Gives the registers back: a thread switch need not save them any more.
QUERN_INLINE void tile_release() { _tile_release(); }

template <int tile>
QUERN_INLINE void tile_load(const void* from, int64_t stride) {
  tile_fence();
#define QUERN_CALL(n) _tile_loadd(n, from, stride);
  QUERN_EACH_TILE(QUERN_CALL)
#undef QUERN_CALL
}
template <int tile>
QUERN_INLINE void tile_store(void* to, int64_t stride) {
#define QUERN_CALL(n) _tile_stored(n, to, stride);
  QUERN_EACH_TILE(QUERN_CALL)
#undef QUERN_CALL
}
// sums[m][n] += signed bytes [m][k] * signed bytes [k / 4][n][k % 4], of the tiles of columns and
// weights whose parity is that of `sums`.
template <int sums>
QUERN_INLINE void tile_dot() {
  if constexpr (sums == 0) {
    _tile_dpbssd(0, 4, 6);
  } else if constexpr (sums == 1) {
    _tile_dpbssd(1, 5, 7);
  } else if constexpr (sums == 2) {
    _tile_dpbssd(2, 4, 6);
  } else {
    static_assert(sums == 3);
    _tile_dpbssd(3, 5, 7);
  }
}

#undef QUERN_EACH_TILE

}  // namespace
}  // namespace quern::cpu
