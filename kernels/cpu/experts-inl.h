// Mixtures of experts around their matrix products: choosing experts, and joining what they say.
#pragma once

#include "kernels/cpu/row_ops-inl.h"

namespace quern::cpu {
namespace {

// The n_used largest of n logits, largest first; of equal ones the lower index. `best` receives the
// logits. With a NaN among them the choice is some n_used different experts.
QUERN_PART void choose_experts(const float* logits, int64_t n, int64_t n_used, int32_t* experts,
                               float* best) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    int64_t at = count;
    while (at > 0 && logits[i] > best[at - 1]) --at;
    if (at == n_used) continue;
    if (count < n_used) ++count;
    for (int64_t k = count - 1; k > at; --k) {
      best[k] = best[k - 1];
      experts[k] = experts[k - 1];
    }
    best[at] = logits[i];
    experts[at] = static_cast<int32_t>(i);
  }
}

// values[i] = e^(values[i] - top); returns their sum. NaN if a value is NaN or the top is infinite.
QUERN_PART float exponentials(float* values, int64_t n, float top) {
  for_vectors(0, n, [&](int64_t i, int64_t count) {
    store_some(values + i, count, v_exp(v_sub(load_some(values + i, count), v_set(top))));
  });
  Vec sum = v_zero();
  for_vectors(0, n,
              [&](int64_t i, int64_t count) { sum = v_add(sum, load_some(values + i, count)); });
  return v_reduce_add(sum);
}

void route(const ops::RouteArgs& args, int64_t row_begin, int64_t row_end) {
  const int64_t n = args.routing.n_experts;
  const int64_t n_used = args.routing.n_used;
  for (int64_t row = row_begin; row < row_end; ++row) {
    float* logits = args.logits + row * n;
    int32_t* experts = args.routing.experts + row * n_used;
    float* weights = args.routing.weights + row * n_used;
    choose_experts(logits, n, n_used, experts, weights);
    float divisor = exponentials(logits, n, weights[0]);
    if (__builtin_isnan(divisor)) {
      for (int64_t k = 0; k < n_used; ++k) {
        experts[k] = static_cast<int32_t>(k);
        weights[k] = divisor;
      }
      continue;
    }
    if (args.normalize) {
      divisor = 0.0F;
      for (int64_t k = 0; k < n_used; ++k) divisor += logits[experts[k]];
    }
    for (int64_t k = 0; k < n_used; ++k) weights[k] = logits[experts[k]] / divisor;
  }
}

// 1 / (1 + e^-x) in all lanes.
QUERN_PART Vec sigmoid_of(float x) {
  return v_div(v_set(1.0F), v_add(v_set(1.0F), v_exp(v_set(-x))));
}

void expert_combine(const ops::ExpertCombineArgs& args, int64_t row_begin, int64_t row_end) {
  const int64_t n_used = args.routing.n_used;
  const int64_t n = args.n_cols;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int32_t* places = args.routing.places + row * n_used;
    const float* weights = args.routing.weights + row * n_used;
    const float* shared = args.shared != nullptr ? args.shared + row * n : nullptr;
    const Vec gate = shared != nullptr ? sigmoid_of(args.shared_gate[row]) : v_zero();
    float* y = args.y + row * n;
    for_vectors(0, n, [&](int64_t i, int64_t count) {
      Vec sum = v_zero();
      for (int64_t k = 0; k < n_used; ++k) {
        const float* x = args.x + places[k] * n + i;
        sum = v_fma(v_set(weights[k]), load_some(x, count), sum);
      }
      if (shared != nullptr) sum = v_fma(gate, load_some(shared + i, count), sum);
      store_some(y + i, count, sum);
    });
  }
}

}  // namespace
}  // namespace quern::cpu
