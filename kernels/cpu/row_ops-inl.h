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

struct QuantizedBlock {
  float d;
  int32_t sums[2];
};

// One block by the rule of kernels/formats/block_q8a.h.
QUERN_PART QuantizedBlock quantize_block(const float* x, int8_t* q) {
  const Vec low = v_load(x);
  const Vec high = v_load(x + kVecLanes);
  const VecI magnitudes = v_max_int(v_bits(v_abs(low)), v_bits(v_abs(high)));
  const int32_t peak = v_reduce_max_int(magnitudes);
  float amax;
  std::memcpy(&amax, &peak, sizeof(amax));
  if (peak >= 0x7F800000 || amax < 0x1p-100F) {
    std::memset(q, 0, 2 * kVecLanes);
    return {peak >= 0x7F800000 ? __builtin_nanf("") : 0.0F, {0, 0}};
  }
  const Vec inverse = v_set(127.0F / amax);
  const VecI q_low = round_to_int(v_mul(low, inverse));
  const VecI q_high = round_to_int(v_mul(high, inverse));
  v_store_i8(q, q_low);
  v_store_i8(q + kVecLanes, q_high);
  return {amax / 127.0F, {v_reduce_add_int(q_low), v_reduce_add_int(q_high)}};
}

void quantize(const QuantizeTask& task, int64_t row_begin, int64_t row_end) {
  const QuantizedRows& out = task.out;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* x = task.x + row * task.x_stride;
    int8_t* q = out.q + row * out.q_stride;
    float* d = out.d + row * out.block_stride;
    float* sum_d32 = out.sum_d32 + row * out.block_stride;
    int32_t* neg_sum32 = out.neg_sum32 + row * out.block_stride;
    float* sum_d16 = out.sum_d16 + row * 2 * out.block_stride;
    int32_t* neg_sum16 = out.neg_sum16 + row * 2 * out.block_stride;
    for (int64_t b = 0; b < task.n_in / 32; ++b) {
      const QuantizedBlock block = quantize_block(x + 32 * b, q + 32 * b);
      const int32_t sum = block.sums[0] + block.sums[1];
      d[b] = block.d;
      sum_d32[b] = static_cast<float>(sum) * block.d;
      neg_sum32[b] = -sum;
      for (int h = 0; h < 2; ++h) {
        sum_d16[2 * b + h] = static_cast<float>(block.sums[h]) * block.d;
        neg_sum16[2 * b + h] = -block.sums[h];
      }
    }
  }
}

}  // namespace
}  // namespace quern::cpu
