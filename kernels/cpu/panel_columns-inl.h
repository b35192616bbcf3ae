// What the kernels that multiply a panel share: the columns of activations, and what of a format
// the inner loops depend on.
#pragma once

#include "kernels/cpu/kernel_types.h"
#include "kernels/cpu/unrolled-inl.h"
#include "kernels/cpu/vec16-inl.h"

namespace quern::cpu {
namespace {

// What of a format the inner loops depend on. `steps`: how many products of unsigned bytes with
// activations may be added up in 16 bits, two of them per step; 1 where that does not pay or fit.
template <int group, bool min, PanelCode code, int steps = 1>
struct PanelShape {
  static constexpr int kGroup = group;
  static constexpr bool kMin = min;
  static constexpr PanelCode kCode = code;
  static constexpr int kSteps = steps;
};

// Columns of activations from some column on, at some block of K.
struct PanelColumns {
  const int8_t* q;
  const float* d;
  const float* sum_d;      // per group
  const int32_t* neg_sum;  // per group
  int64_t q_stride;
  int64_t block_stride;
  int64_t group_stride;

  QUERN_PART void advance(int64_t n_columns) {
    q += n_columns * q_stride;
    d += n_columns * block_stride;
    sum_d += n_columns * group_stride;
    neg_sum += n_columns * group_stride;
  }
};

QUERN_PART PanelColumns columns_at(const QuantizedRows& x, int group_values, int64_t column,
                                   int64_t first_value) {
  const bool halves = group_values == 16;
  const int64_t group_stride = halves ? 2 * x.block_stride : x.block_stride;
  const int64_t group = column * group_stride + first_value / group_values;
  PanelColumns out{};
  out.q = x.q + column * x.q_stride + first_value;
  out.d = x.d + column * x.block_stride + first_value / 32;
  out.sum_d = (halves ? x.sum_d16 : x.sum_d32) + group;
  out.neg_sum = (halves ? x.neg_sum16 : x.neg_sum32) + group;
  out.q_stride = x.q_stride;
  out.block_stride = x.block_stride;
  out.group_stride = group_stride;
  return out;
}

// The same of formats with super-blocks.
struct SuperColumns {
  const int8_t* q;      // columns kSuperValues apart
  const float* d;       // columns 1 apart
  const int16_t* sums;  // columns kSuperHalves apart
  int64_t block_rows;   // columns from one block of K to the next

  QUERN_PART void advance(int64_t n_columns) {
    q += n_columns * kSuperValues;
    d += n_columns;
    sums += n_columns * kSuperHalves;
  }
  QUERN_PART SuperColumns block(int64_t n) const {
    SuperColumns out = *this;
    out.advance(n * block_rows);
    return out;
  }
};

QUERN_PART SuperColumns super_columns_at(const SuperRows& x, int64_t column, int64_t first_value) {
  SuperColumns out = {x.q, x.d, x.sums, x.block_rows};
  out.advance(column);
  return out.block(first_value / kSuperValues);
}

// Two neighbouring sums as the two words of all lanes.
QUERN_PART NI two_sums(const int16_t* sums) {
  return n_broadcast4(reinterpret_cast<const int8_t*>(sums));
}

}  // namespace
}  // namespace quern::cpu
