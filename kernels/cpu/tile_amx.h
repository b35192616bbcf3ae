// The tile unit of AMX-INT8 and AMX-BF16: what matmul_tiles-inl.h and matmul_super_tiles-inl.h ask
// of it, as the processor's instructions.
//
// Tiles are numbered 0..7 and have the shapes of the configuration of the calling thread. The
// process must have the operating system's permission (config/hardware/isa_probe.cc), or the first
// instruction on a tile ends it. Source: Intel SDM volume 1 chapter 18 and volume 2.
//
// In assembler, since the compiler's intrinsics take the number of a tile as text, and those for
// loads do not say that they read memory.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/inlining.h"
#include "kernels/cpu/tile_config.h"

namespace quern::cpu {
namespace {

QUERN_INLINE void tile_configure(const TileConfig& config) {
  __asm__ volatile("ldtilecfg %0" ::"m"(config) : "memory");
}
// Gives the registers back: a thread switch need not save them any more.
QUERN_INLINE void tile_release() { _tile_release(); }

template <int tile>
QUERN_INLINE void tile_zero() {
  __asm__ volatile("tilezero %%tmm%c0" ::"i"(tile));
}
template <int tile>
QUERN_INLINE void tile_load(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(tile), "r"(from), "r"(stride) : "memory");
}
template <int tile>
QUERN_INLINE void tile_store(void* to, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(tile), "r"(to), "r"(stride) : "memory");
}
// sums[m][n] += columns[m][k] * weights[k / 4][n][k % 4], signed bytes.
template <int sums, int columns, int weights>
QUERN_INLINE void tile_dot() {
  static_assert(sums != columns && sums != weights && columns != weights);
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sums), "i"(columns), "i"(weights));
}
// The same with unsigned weights.
template <int sums, int columns, int weights>
QUERN_INLINE void tile_dot_unsigned() {
  static_assert(sums != columns && sums != weights && columns != weights);
  __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sums), "i"(columns), "i"(weights));
}
// The same in binary32 with pairs of bf16: columns[m][k] * weights[k / 2][n][k % 2].
template <int sums, int columns, int weights>
QUERN_INLINE void tile_dot_bf16() {
  static_assert(sums != columns && sums != weights && columns != weights);
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sums), "i"(columns),
                   "i"(weights));
}

}  // namespace
}  // namespace quern::cpu
