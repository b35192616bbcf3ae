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
  } else {                          \
    static_assert(tile == 5);       \
    call(5)                         \
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
QUERN_INLINE void tile_zero() {
#define QUERN_CALL(n) _tile_zero(n);
  QUERN_EACH_TILE(QUERN_CALL)
#undef QUERN_CALL
}
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
// sums[m][n] += signed bytes [m][k] * unsigned bytes [k / 4][n][k % 4]; tiles s, s + 2, s + 4.
template <int sums>
QUERN_INLINE void tile_dot() {
  static_assert(sums == 0 || sums == 1);
  if constexpr (sums == 0) {
    _tile_dpbsud(0, 2, 4);
  } else {
    _tile_dpbsud(1, 3, 5);
  }
}

#undef QUERN_EACH_TILE

}  // namespace
}  // namespace quern::cpu
