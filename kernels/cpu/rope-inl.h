// Rotary position embedding: the table of cosines and sines, and the rotation.
//
// Source: Su et al., "RoFormer" (2021). The table follows Hugging Face: angle = float(position) *
// inverse_frequency in f32; the rotation is x0 * c - x1 * s and x1 * c + x0 * s, each product and
// sum rounded.
#pragma once

#include "kernels/cpu/row_ops-inl.h"

namespace quern::cpu {
namespace {

void rope_table(const ops::RopeTableArgs& args, const int32_t* positions, int64_t token_begin,
                int64_t token_end) {
  const int64_t half = args.n_rot / 2;
  for (int64_t t = token_begin; t < token_end; ++t) {
    const float position = static_cast<float>(positions[t]);
    for (int64_t i = 0; i < half; ++i) {
      const SinCos value = sin_cos(position * args.inverse_frequency[i]);
      args.cosine[t * half + i] = value.cosine * args.magnitude;
      args.sine[t * half + i] = value.sine * args.magnitude;
    }
  }
}

QUERN_PART void rotate_halves(float* x, const float* c, const float* s, int64_t half) {
  for_vectors(0, half, [&](int64_t i, int64_t count) {
    const Vec x0 = load_some(x + i, count);
    const Vec x1 = load_some(x + half + i, count);
    const Vec cosine = load_some(c + i, count);
    const Vec sine = load_some(s + i, count);
    store_some(x + i, count, v_sub(v_mul(x0, cosine), v_mul(x1, sine)));
    store_some(x + half + i, count, v_add(v_mul(x1, cosine), v_mul(x0, sine)));
  });
}

QUERN_PART void rotate_neighbours(float* x, const float* c, const float* s, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float x0 = x[2 * i];
    const float x1 = x[2 * i + 1];
    x[2 * i] = x0 * c[i] - x1 * s[i];
    x[2 * i + 1] = x1 * c[i] + x0 * s[i];
  }
}

void rope(const ops::RopeArgs& args, int64_t token_begin, int64_t token_end) {
  const int64_t half = args.n_rot / 2;
  for (int64_t t = token_begin; t < token_end; ++t) {
    const float* c = args.cosine + t * half;
    const float* s = args.sine + t * half;
    for (int64_t h = 0; h < args.n_heads; ++h) {
      float* x = args.x + t * args.x_stride + h * args.head_dim;
      if (args.pairing == ops::RopePairing::kHalves) {
        rotate_halves(x, c, s, half);
      } else {
        rotate_neighbours(x, c, s, half);
      }
    }
  }
}

}  // namespace
}  // namespace quern::cpu
