// The table of the matmul kernels of the instruction set being compiled.
#pragma once

#include "kernels/cpu/matmul_generic-inl.h"
#include "kernels/cpu/unpack-inl.h"

namespace quern::cpu {
namespace {

// Whether one column goes through the panel too (unpack_grid-inl.h).
template <typename Unpacker>
constexpr bool looks_up() {
  if constexpr (requires { Unpacker::kLooksUp; }) return Unpacker::kLooksUp;
  return false;
}

// A format with its own unpacker.
template <typename Unpacker>
void matmul_format(const MatmulTask& task, int64_t begin, int64_t end,
                   const MatmulScratch& scratch) {
  using Shape = typename Unpacker::Shape;
  using Format = typename Unpacker::Format;
  constexpr int kOffset = Shape::kCode == PanelCode::kOffset ? 1 << Unpacker::kOffsetShift : 0;
  static_assert(Shape::kSteps == 1 ||
                (Format::kQMax + kOffset) * 2 * 127 * Shape::kSteps < (1 << 15));
  if constexpr (!looks_up<Unpacker>()) {
    if (task.n_rows == 1) {
      matmul_panels(task, begin, end, scratch,
                    [&](const PanelChunk& chunk, int64_t k, int64_t column, int64_t /*n_columns*/,
                        PanelPrefetch& prefetch) {
                      if constexpr (kHasSuperBlocks<Format>) {
                        dot_super_blocks<Unpacker>(chunk, super_columns_at(task.xs, column, k),
                                                   scratch.accumulator, prefetch);
                      } else {
                        dot_blocks<Unpacker>(chunk, columns_at(task.xq, Shape::kGroup, column, k),
                                             scratch.accumulator, prefetch);
                      }
                    });
      return;
    }
  }
  matmul_panels(task, begin, end, scratch,
                [&](const PanelChunk& chunk, int64_t k, int64_t column, int64_t n_columns,
                    PanelPrefetch& prefetch) {
                  if constexpr (kHasSuperBlocks<Format>) {
                    unpack_super_blocks<Unpacker>(chunk, scratch.panel, prefetch);
                    multiply_super_columns<Shape>(task, scratch, Unpacker::kOffsetShift, column,
                                                  n_columns, k, chunk.n_values);
                  } else {
                    unpack_blocks<Unpacker>(chunk, scratch.panel, prefetch);
                    multiply_columns<Shape>(task, scratch, Unpacker::kOffsetShift, column,
                                            n_columns, k, chunk.n_values);
                  }
                });
}

constexpr MatmulKernels matmul_kernels() {
  MatmulKernels k{};
  k.generic = matmul_generic;
  k.f32 = matmul_float<LoadF32>;
  k.f16 = matmul_float<LoadF16>;
  k.bf16 = matmul_float<LoadBf16>;
  k.q4_0 = matmul_format<UnpackQ4_0>;
  k.q4_1 = matmul_format<UnpackQ4_1>;
  k.q5_0 = matmul_format<UnpackQ5_0>;
  k.q5_1 = matmul_format<UnpackQ5_1>;
  k.q8_0 = matmul_format<UnpackQ8_0>;
  k.q2_k = matmul_format<UnpackQ2_K>;
  k.q3_k = matmul_format<UnpackQ3_K>;
  k.q4_k = matmul_format<UnpackQ4_K>;
  k.q5_k = matmul_format<UnpackQ5_K>;
  k.q6_k = matmul_format<UnpackQ6_K>;
  k.iq4_nl = matmul_format<UnpackIQ4_NL>;
  k.iq4_xs = matmul_format<UnpackIQ4_XS>;
  k.mxfp4 = matmul_format<UnpackMXFP4>;
  k.nvfp4 = matmul_format<UnpackNVFP4>;
  k.iq1_s = matmul_format<UnpackIQ1_S>;
  k.iq1_m = matmul_format<UnpackIQ1_M>;
  k.iq2_xxs = matmul_format<UnpackIQ2_XXS>;
  k.iq2_xs = matmul_format<UnpackIQ2_XS>;
  k.iq2_s = matmul_format<UnpackIQ2_S>;
  k.iq3_xxs = matmul_format<UnpackIQ3_XXS>;
  k.iq3_s = matmul_format<UnpackIQ3_S>;
  k.tq1_0 = matmul_format<UnpackTQ1_0>;
  k.tq2_0 = matmul_format<UnpackTQ2_0>;
  k.q1_0 = matmul_format<UnpackQ1_0>;
  return k;
}

}  // namespace
}  // namespace quern::cpu
