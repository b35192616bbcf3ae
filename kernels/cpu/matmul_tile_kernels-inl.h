// The table of the matmul kernels on tiles: all quantized formats. Included after a tile unit and
// vec_avx512.h.
#pragma once

#include "kernels/cpu/matmul_super_tiles-inl.h"
#include "kernels/cpu/matmul_tiles-inl.h"

namespace quern::cpu {
namespace {

// Too few columns for a tile go the way of the dot products. Tiles are configured per call: the
// configuration belongs to the thread, and whoever runs next on it may want another.
template <typename Unpacker>
void matmul_tiled(const MatmulTask& task, int64_t begin, int64_t end,
                  const MatmulScratch& scratch) {
  constexpr bool kSuper = kHasSuperBlocks<typename Unpacker::Format>;
  constexpr int64_t kLeast = kSuper ? kLeastSuperColumns : kTileColumns;
  if (task.n_rows < kLeast) return matmul_format<Unpacker>(task, begin, end, scratch);
  if constexpr (kSuper) {
    tile_configure(kTileConfig<kTileBytes>);
    multiply_super_all<Unpacker>(task, begin, end, scratch);
  } else {
    tile_configure(kTileConfig<Unpacker::Shape::kGroup>);
    multiply_all<Unpacker>(task, begin, end, scratch);
  }
  tile_release();
}

constexpr MatmulKernels tile_kernels() {
  MatmulKernels k{};
  k.q4_0 = matmul_tiled<UnpackQ4_0>;
  k.q4_1 = matmul_tiled<UnpackQ4_1>;
  k.q5_0 = matmul_tiled<UnpackQ5_0>;
  k.q5_1 = matmul_tiled<UnpackQ5_1>;
  k.q8_0 = matmul_tiled<UnpackQ8_0>;
  k.q2_k = matmul_tiled<UnpackQ2_K>;
  k.q3_k = matmul_tiled<UnpackQ3_K>;
  k.q4_k = matmul_tiled<UnpackQ4_K>;
  k.q5_k = matmul_tiled<UnpackQ5_K>;
  k.q6_k = matmul_tiled<UnpackQ6_K>;
  k.iq4_nl = matmul_tiled<UnpackIQ4_NL>;
  k.iq4_xs = matmul_tiled<UnpackIQ4_XS>;
  k.mxfp4 = matmul_tiled<UnpackMXFP4>;
  k.nvfp4 = matmul_tiled<UnpackNVFP4>;
  k.iq1_s = matmul_tiled<UnpackIQ1_S>;
  k.iq1_m = matmul_tiled<UnpackIQ1_M>;
  k.iq2_xxs = matmul_tiled<UnpackIQ2_XXS>;
  k.iq2_xs = matmul_tiled<UnpackIQ2_XS>;
  k.iq2_s = matmul_tiled<UnpackIQ2_S>;
  k.iq3_xxs = matmul_tiled<UnpackIQ3_XXS>;
  k.iq3_s = matmul_tiled<UnpackIQ3_S>;
  k.tq1_0 = matmul_tiled<UnpackTQ1_0>;
  k.tq2_0 = matmul_tiled<UnpackTQ2_0>;
  k.q1_0 = matmul_tiled<UnpackQ1_0>;
  return k;
}

}  // namespace
}  // namespace quern::cpu
