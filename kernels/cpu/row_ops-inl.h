// Operations on rows of values: RMS norm, gated activation, add, scale, soft-cap, and the 8-bit
// quantization of activations. Written once over 16 virtual lanes.
#pragma once

#include "kernels/cpu/kernel_types.h"
#include "kernels/cpu/math-inl.h"

namespace quern::cpu {
namespace {

// Runs body(offset, count) over [begin, end) in steps of 16 values; count is below 16 in the last.
template <typename Body>
QUERN_PART void for_vectors(int64_t begin, int64_t end, Body body) {
  int64_t i = begin;
  for (; i + kVecLanes <= end; i += kVecLanes) body(i, int64_t{kVecLanes});
  if (i < end) body(i, end - i);
}

QUERN_PART Vec load_some(const float* p, int64_t count) {
  return count == kVecLanes ? v_load(p) : v_load_first(p, count);
}

QUERN_PART void store_some(float* p, int64_t count, const Vec& a) {
  if (count == kVecLanes) {
    v_store(p, a);
  } else {
    v_store_first(p, count, a);
  }
}

void rms_norm(const ops::RmsNormArgs& args, int64_t row_begin, int64_t row_end) {
  const int64_t n = args.n_cols;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    Vec squares = v_zero();
    for_vectors(0, n, [&](int64_t i, int64_t count) {
      const Vec v = load_some(x + i, count);
      squares = v_fma(v, v, squares);
    });
    const float mean = v_reduce_add(squares) / static_cast<float>(n);
    const Vec factor = v_set(1.0F / __builtin_sqrtf(mean + args.epsilon));
    for_vectors(0, n, [&](int64_t i, int64_t count) {
      const Vec scaled = v_mul(load_some(x + i, count), factor);
      store_some(y + i, count, v_mul(scaled, load_some(args.weight + i, count)));
    });
  }
}

template <typename Function>
QUERN_PART void gate_rows(const ops::GatedActivationArgs& args, int64_t row_begin, int64_t row_end,
                          Function function) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* gate = args.gate + row * args.gate_stride;
    const float* up = args.up + row * args.up_stride;
    float* y = args.y + row * args.y_stride;
    for_vectors(0, args.n_cols, [&](int64_t i, int64_t count) {
      const Vec activated = function(load_some(gate + i, count));
      store_some(y + i, count, v_mul(activated, load_some(up + i, count)));
    });
  }
}

void gated_activation(const ops::GatedActivationArgs& args, int64_t row_begin, int64_t row_end) {
  if (args.activation == ops::Activation::kSilu) {
    gate_rows(args, row_begin, row_end, [](const Vec& v) { return v_silu(v); });
  } else {
    gate_rows(args, row_begin, row_end, [](const Vec& v) { return v_gelu_tanh(v); });
  }
}

void add(const ops::AddArgs& args, int64_t begin, int64_t end) {
  for_vectors(begin, end, [&](int64_t i, int64_t count) {
    const Vec sum = v_add(load_some(args.y + i, count), load_some(args.x + i, count));
    store_some(args.y + i, count, sum);
  });
}

void scale(const ops::ScaleArgs& args, int64_t begin, int64_t end) {
  const Vec factor = v_set(args.factor);
  for_vectors(begin, end, [&](int64_t i, int64_t count) {
    store_some(args.x + i, count, v_mul(load_some(args.x + i, count), factor));
  });
}

QUERN_PART Vec soft_cap(const Vec& x, const Vec& cap) { return v_mul(cap, v_tanh(v_div(x, cap))); }

void softcap(const ops::SoftcapArgs& args, int64_t begin, int64_t end) {
  const Vec cap = v_set(args.cap);
  for_vectors(begin, end, [&](int64_t i, int64_t count) {
    store_some(args.x + i, count, soft_cap(load_some(args.x + i, count), cap));
  });
}

// Rounds |x| <= 2^22 to integers, ties to even.
QUERN_PART VecI round_to_int(const Vec& x) {
  return v_sub_int(v_bits(v_add(x, v_set(0x1.8p23F))), v_set_int(0x4B400000));
}

// One block of n_vectors * 16 values by the rule of kernels/formats/block_q8a.h; returns d.
// sums[v]: of the codes of vector v.
template <int n_vectors>
QUERN_PART float quantize_block(const float* x, int8_t* q, int32_t* sums) {
  VecI magnitudes = v_bits(v_abs(v_load(x)));
  for (int v = 1; v < n_vectors; ++v) {
    magnitudes = v_max_int(magnitudes, v_bits(v_abs(v_load(x + v * kVecLanes))));
  }
  const int32_t peak = v_reduce_max_int(magnitudes);
  float amax;
  std::memcpy(&amax, &peak, sizeof(amax));
  if (peak >= 0x7F800000 || amax < 0x1p-100F) {
    std::memset(q, 0, n_vectors * kVecLanes);
    std::memset(sums, 0, n_vectors * sizeof(int32_t));
    return peak >= 0x7F800000 ? __builtin_nanf("") : 0.0F;
  }
  const Vec inverse = v_set(127.0F / amax);
  for (int v = 0; v < n_vectors; ++v) {
    const VecI codes = round_to_int(v_mul(v_load(x + v * kVecLanes), inverse));
    v_store_i8(q + v * kVecLanes, codes);
    sums[v] = v_reduce_add_int(codes);
  }
  return amax / 127.0F;
}

// Blocks of 32.
QUERN_PART void quantize_row(const float* x, int64_t n, const QuantizedRows& out, int64_t row) {
  int8_t* q = out.q + row * out.q_stride;
  float* d = out.d + row * out.block_stride;
  float* sum_d32 = out.sum_d32 + row * out.block_stride;
  int32_t* neg_sum32 = out.neg_sum32 + row * out.block_stride;
  float* sum_d16 = out.sum_d16 + row * 2 * out.block_stride;
  int32_t* neg_sum16 = out.neg_sum16 + row * 2 * out.block_stride;
  for (int64_t b = 0; b < n / 32; ++b) {
    int32_t sums[2];
    d[b] = quantize_block<2>(x + 32 * b, q + 32 * b, sums);
    const int32_t sum = sums[0] + sums[1];
    sum_d32[b] = static_cast<float>(sum) * d[b];
    neg_sum32[b] = -sum;
    for (int h = 0; h < 2; ++h) {
      sum_d16[2 * b + h] = static_cast<float>(sums[h]) * d[b];
      neg_sum16[2 * b + h] = -sums[h];
    }
  }
}

// A sum of 16 codes as SuperRows::sum_parts has it. Both parts have at most 8 significant bits.
QUERN_PART uint32_t parts_of(int32_t sum) {
  const int32_t upper = (sum + 8) & -16;
  const auto upper_value = static_cast<float>(upper);
  const auto lower_value = static_cast<float>(sum - upper);
  uint32_t upper_bits;
  uint32_t lower_bits;
  std::memcpy(&upper_bits, &upper_value, sizeof(upper_bits));
  std::memcpy(&lower_bits, &lower_value, sizeof(lower_bits));
  return (upper_bits & 0xFFFF0000U) | (lower_bits >> 16);
}

QUERN_PART void quantize_super_row(const float* x, int64_t n, const SuperRows& out, int64_t row) {
  for (int64_t b = 0; b < n / kSuperValues; ++b) {
    const int64_t at = b * out.block_rows + row;
    int32_t sums[kSuperHalves];
    out.d[at] = quantize_block<kSuperHalves>(x + kSuperValues * b, out.q + kSuperValues * at, sums);
    for (int h = 0; h < kSuperHalves; ++h) {
      out.sums[kSuperHalves * at + h] = static_cast<int16_t>(sums[h]);
      out.sum_parts[kSuperHalves * at + h] = parts_of(sums[h]);
    }
  }
}

void quantize(const QuantizeTask& task, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* x = task.x + row * task.x_stride;
    if (task.out.q != nullptr) quantize_row(x, task.n_in, task.out, row);
    if (task.super_out.q != nullptr) quantize_super_row(x, task.n_in, task.super_out, row);
  }
}

}  // namespace
}  // namespace quern::cpu
