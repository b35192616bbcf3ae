// The row for any format: quantized ones by unpacking with the format's own traits, others decoded.
#pragma once

#include "kernels/cpu/matmul_float-inl.h"
#include "kernels/cpu/matmul_super-inl.h"

namespace quern::cpu {
namespace {

// A shape whose `super` says which kernels take it.
template <int group, bool min, PanelCode code, bool super>
struct AnyShape : PanelShape<group, min, code> {
  static constexpr bool kSuper = super;
};

template <typename Shape>
void matmul_any(const MatmulTask& task, int64_t begin, int64_t end, const MatmulScratch& scratch) {
  const PanelFormat& format = *task.format;
  const bool wide = format.code == PanelCode::kWide;
  const uint8_t flip = wide ? kDotFlip : uint8_t{0};
  const int shift = wide ? 7 : format.offset_shift;
  matmul_panels(
      task, begin, end, scratch,
      [&](const PanelChunk& chunk, int64_t k, int64_t column, int64_t n_columns,
          PanelPrefetch& prefetch) {
        prefetch.advance(kPanelRows * task.row_bytes * chunk.n_values / task.n_in);
        format.unpack(chunk.rows, chunk.first_value, chunk.n_values, flip, scratch.panel);
        if constexpr (Shape::kSuper) {
          multiply_super_columns<Shape>(task, scratch, shift, column, n_columns, k, chunk.n_values);
        } else {
          multiply_columns<Shape>(task, scratch, shift, column, n_columns, k, chunk.n_values);
        }
      });
}

template <int group, bool super>
MatmulFn matmul_of(const PanelFormat& format) {
  if (format.has_min) return matmul_any<AnyShape<group, true, PanelCode::kUnsigned, super>>;
  if (format.code == PanelCode::kUnsigned) {
    return matmul_any<AnyShape<group, false, PanelCode::kUnsigned, super>>;
  }
  if (format.code == PanelCode::kOffset) {
    return matmul_any<AnyShape<group, false, PanelCode::kOffset, super>>;
  }
  return matmul_any<AnyShape<group, false, kWideCode, super>>;
}

void matmul_generic(const MatmulTask& task, int64_t begin, int64_t end,
                    const MatmulScratch& scratch) {
  if (task.format == nullptr) return matmul_decoded(task, begin, end, scratch);
  const PanelFormat& format = *task.format;
  const bool small = format.group_values == 16;
  const MatmulFn matmul =
      format.super_blocks ? (small ? matmul_of<16, true>(format) : matmul_of<32, true>(format))
                          : (small ? matmul_of<16, false>(format) : matmul_of<32, false>(format));
  matmul(task, begin, end, scratch);
}

}  // namespace
}  // namespace quern::cpu
