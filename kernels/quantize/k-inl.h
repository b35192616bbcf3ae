// Encoders of blocks of 256 whose groups have whole-number scales: Q3_K, Q6_K and IQ4_XS (a signed
// scale per group), Q2_K, Q4_K and Q5_K (a scale and a minimum per group).
//
// First every group's own best scale; then, some rounds long: the scale of scales that the groups
// ask for, for each group the best of the three whole numbers next to what it wants (codes chosen
// anew each time), and the scale of scales fitted to the codes by least squares.
#pragma once

#include "kernels/formats/all_blocks.h"
#include "kernels/formats/pack.h"
#include "kernels/quantize/scale_search-inl.h"

namespace quern::quantize {
namespace {

using namespace formats;

QUERN_LANE_PART float whole_within(float x, float low, float high) {
  const float limited = !(x > low) ? low : (x > high ? high : x);
  return (limited + 0x1.8p23F) - 0x1.8p23F;
}

// What is tried next to the whole number that a group has; itself first, so that it wins ties.
constexpr float kSteps[] = {0.0F, -1.0F, 1.0F};

// A batch of groups with one signed scale each, lane g: value = d * scale * level.
template <int kValues>
struct SignedGroups {
  Batch<kValues> batch;
  alignas(64) float d[kBatch] = {};
  alignas(64) float scale[kBatch] = {};
  alignas(64) float xq[kBatch] = {};  // moments of the codes chosen last
  alignas(64) float qq[kBatch] = {};
  alignas(64) float codes[kValues][kBatch];
};

// For each group the best of its scale and the two next to it, with their moments.
template <typename Levels, int kValues>
QUERN_LANE_PART void step_scales(SignedGroups<kValues>& groups, int at, float low, float high) {
  const Lanes d = load(&groups.d[at]);
  const Lanes old = load(&groups.scale[at]);
  Lanes gain = splat(-0x1p100F);
  Lanes best{};
  Moments kept{};
  for (const float step : kSteps) {
    const Lanes scale = clamped(old + step, low, high);
    const Lanes a = d * scale;
    const Moments sum = moments<Levels>(groups.batch, at, inverse_or_zero(a));
    const Lanes explained = a * (2.0F * sum.xq - a * sum.qq);
    const Mask better = explained > gain;
    gain = select(better, explained, gain);
    best = select(better, scale, best);
    kept.xq = select(better, sum.xq, kept.xq);
    kept.qq = select(better, sum.qq, kept.qq);
  }
  store(&groups.scale[at], best);
  store(&groups.xq[at], kept.xq);
  store(&groups.qq[at], kept.qq);
}

// Scales are whole numbers from `low` (negative) to `high`; the scale of scales of a block goes to
// bits[]. `rounds` as told above.
template <typename Levels, int kValues, int n>
QUERN_LANE_PART void fit_signed(SignedGroups<kValues>& groups, int n_blocks, float low, float high,
                                const Starts<n>& starts, int rounds, uint16_t* bits) {
  constexpr int kGroups = 256 / kValues;
  for (int at = 0; at < kBatch; at += kLanes) {
    store(&groups.scale[at], best_scale<Levels>(groups.batch, at, starts));
  }
  const auto set_d = [&](int first, float wanted) {
    const HalfScale half = half_scale(wanted, groups.batch.unit[first]);
    bits[first / kGroups] = half.bits;
    for (int g = first; g < first + kGroups; ++g) groups.d[g] = half.value;
  };
  for (int first = 0; first < n_blocks * kGroups; first += kGroups) {
    float peak = 0.0F;
    for (int g = first; g < first + kGroups; ++g) {
      if (__builtin_fabsf(groups.scale[g]) > __builtin_fabsf(peak)) peak = groups.scale[g];
    }
    set_d(first, peak / low);
    for (int g = first; g < first + kGroups; ++g) {
      const float d = groups.d[g];
      groups.scale[g] = d == 0.0F ? 0.0F : whole_within(groups.scale[g] / d, low, high);
    }
  }
  for (int round = 0; round < rounds; ++round) {
    for (int at = 0; at < kBatch; at += kLanes) step_scales<Levels>(groups, at, low, high);
    for (int first = 0; first < n_blocks * kGroups; first += kGroups) {
      float xq = 0.0F;
      float qq = 0.0F;
      for (int g = first; g < first + kGroups; ++g) {
        xq += groups.scale[g] * groups.xq[g];
        qq += groups.scale[g] * groups.scale[g] * groups.qq[g];
      }
      if (qq > 0.0F) set_d(first, xq / qq);
    }
  }
  for (int at = 0; at < kBatch; at += kLanes) {
    const Lanes a = load(&groups.d[at]) * load(&groups.scale[at]);
    store_level_codes<Levels>(groups.batch, at, inverse_or_zero(a), groups.codes);
  }
}

// Codes and scales of block `b` of a batch, as bytes; scales count from `low`.
template <int kValues, typename Groups>
QUERN_LANE_PART void block_bytes(const Groups& groups, int b, uint8_t* codes) {
  constexpr int kGroups = 256 / kValues;
  for (int g = 0; g < kGroups; ++g) {
    store_codes(groups.codes, b * kGroups + g, codes + g * kValues);
  }
}

template <int kGroups>
QUERN_LANE_PART void whole_bytes(const float* from, float low, uint8_t* out) {
  for (int g = 0; g < kGroups; ++g) out[g] = static_cast<uint8_t>(static_cast<int>(from[g] - low));
}

QUERN_LANE_PART void pack_signed(BlockQ3_K& block, const uint8_t* scales, const uint8_t* codes) {
  pack_q3_k_scales(scales, block.scales);
  pack_quads(codes, block.qs);
  pack_q3_k_high(codes, block.hmask);
}
QUERN_LANE_PART void pack_signed(BlockQ6_K& block, const uint8_t* scales, const uint8_t* codes) {
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<int8_t>(scales[g] - 128);
  pack_q6_k(codes, block.ql, block.qh);
}
QUERN_LANE_PART void pack_signed(BlockIQ4_XS& block, const uint8_t* scales, const uint8_t* codes) {
  block.scales_h = pack_iq4_xs_scales(scales, block.scales_l);
  for (int g = 0; g < 8; ++g) pack_nibbles(codes + 32 * g, block.qs + 16 * g);
}

template <typename Format, typename Levels, int low, int n>
QUERN_LANE_PART void encode_signed(const float* src, const float* importance, std::byte* dst,
                                   int64_t n_values, const Starts<n>& starts, int rounds) {
  constexpr int kValues = Format::kGroupValues;
  constexpr int kGroups = 256 / kValues;
  using Block = typename Format::Block;
  SignedGroups<kValues> groups;
  for_batches<Format, kValues>(
      src, importance, dst, n_values,
      [&](const float* x, const float* w, Block* blocks, int n_blocks) {
        uint16_t d[kBatch / kGroups];
        load_batch(x, w, n_blocks * kGroups, kGroups, groups.batch);
        fit_signed<Levels>(groups, n_blocks, static_cast<float>(low), static_cast<float>(-low - 1),
                           starts, rounds, d);
        for (int b = 0; b < n_blocks; ++b) {
          uint8_t codes[256];
          uint8_t scales[kGroups];
          block_bytes<kValues>(groups, b, codes);
          whole_bytes<kGroups>(groups.scale + b * kGroups, static_cast<float>(low), scales);
          blocks[b].d = d[b];
          pack_signed(blocks[b], scales, codes);
        }
      });
}

// A batch of groups with a scale and a minimum each, lane g: value = d * scale * code - dmin * min.
template <int kValues>
struct AffineGroups {
  Batch<kValues> batch;
  alignas(64) float d[kBatch] = {};
  alignas(64) float dmin[kBatch] = {};
  alignas(64) float scale[kBatch] = {};
  alignas(64) float min[kBatch] = {};
  alignas(64) float w[kBatch] = {};  // sums of w and w x of each group
  alignas(64) float x[kBatch] = {};
  alignas(64) float q[kBatch] = {};  // moments of the codes chosen last
  alignas(64) float qq[kBatch] = {};
  alignas(64) float xq[kBatch] = {};
  alignas(64) float codes[kValues][kBatch];
};

// The best of three scales for each group, each with the codes that it gives and the minimum that
// is best for those codes.
template <int q_max, int kValues>
QUERN_LANE_PART void step_affine(AffineGroups<kValues>& groups, int at, float limit) {
  const Lanes d = load(&groups.d[at]);
  const Lanes dmin = load(&groups.dmin[at]);
  const Lanes old = load(&groups.scale[at]);
  const Lanes old_min = load(&groups.min[at]);
  const Lanes w = load(&groups.w[at]);
  const Lanes x = load(&groups.x[at]);
  const Lanes per_min = inverse_or_zero(dmin);
  const Lanes per_weight = inverse_or_zero(w);
  Lanes gain = splat(-0x1p100F);
  Lanes best = old;
  Lanes best_min = old_min;
  for (const float step : kSteps) {
    const Lanes scale = clamped(old + step, 0.0F, limit);
    const Lanes a = d * scale;
    const AffineMoments sum =
        affine_moments<q_max>(groups.batch, at, inverse_or_zero(a), -(dmin * old_min));
    // The mean of what the codes leave is the offset that fits best.
    const Lanes wanted = (a * sum.q - x) * per_weight * per_min;
    const Lanes min = rounded(clamped(wanted, 0.0F, limit));
    const Lanes offset = -(dmin * min);
    const Lanes explained =
        a * (2.0F * sum.xq - a * sum.qq - 2.0F * offset * sum.q) + offset * (2.0F * x - offset * w);
    const Mask better = explained > gain;
    gain = select(better, explained, gain);
    best = select(better, scale, best);
    best_min = select(better, min, best_min);
  }
  store(&groups.scale[at], best);
  store(&groups.min[at], best_min);
  const AffineMoments sum =
      affine_moments<q_max>(groups.batch, at, inverse_or_zero(d * best), -(dmin * best_min));
  store(&groups.q[at], sum.q);
  store(&groups.qq[at], sum.qq);
  store(&groups.xq[at], sum.xq);
}

struct AffineBits {
  uint16_t d;
  uint16_t dmin;
};

template <int kValues>
QUERN_LANE_PART void set_affine_d(AffineGroups<kValues>& groups, int first, float d, float dmin,
                                  AffineBits* bits) {
  constexpr int kGroups = 256 / kValues;
  const HalfScale scale = half_scale(d, groups.batch.unit[first]);
  const HalfScale min = half_scale(dmin, groups.batch.unit[first]);
  bits[first / kGroups] = {scale.bits, min.bits};
  for (int g = first; g < first + kGroups; ++g) {
    groups.d[g] = scale.value;
    groups.dmin[g] = min.value;
  }
}

// The scales of scales and minima that span the groups, and whole numbers next to what they want.
template <int kValues>
QUERN_LANE_PART void span_affine(AffineGroups<kValues>& groups, int first, float limit,
                                 AffineBits* bits) {
  constexpr int kGroups = 256 / kValues;
  float max_scale = 0.0F;
  float max_min = 0.0F;
  for (int g = first; g < first + kGroups; ++g) {
    max_scale = groups.scale[g] > max_scale ? groups.scale[g] : max_scale;
    max_min = groups.min[g] > max_min ? groups.min[g] : max_min;
  }
  set_affine_d(groups, first, max_scale / limit, max_min / limit, bits);
  for (int g = first; g < first + kGroups; ++g) {
    const float d = groups.d[g];
    const float dmin = groups.dmin[g];
    groups.scale[g] = d == 0.0F ? 0.0F : whole_within(groups.scale[g] / d, 0.0F, limit);
    groups.min[g] = dmin == 0.0F ? 0.0F : whole_within(groups.min[g] / dmin, 0.0F, limit);
  }
}

// Least squares in the two scales of a block, its codes and whole numbers as they are; leaves them
// where the two cannot be told apart or a scale would not be positive.
template <int kValues>
QUERN_LANE_PART void refit_affine(AffineGroups<kValues>& groups, int first, AffineBits* bits) {
  constexpr int kGroups = 256 / kValues;
  float ss = 0.0F, sm = 0.0F, mm = 0.0F, sx = 0.0F, mx = 0.0F;
  for (int g = first; g < first + kGroups; ++g) {
    const float s = groups.scale[g];
    const float m = groups.min[g];
    ss += s * s * groups.qq[g];
    sm += s * m * groups.q[g];
    mm += m * m * groups.w[g];
    sx += s * groups.xq[g];
    mx += m * groups.x[g];
  }
  const float det = ss * mm - sm * sm;
  float d = ss > 0.0F ? sx / ss : 0.0F;
  float dmin = groups.dmin[first];
  if (det > 1e-6F * ss * mm) {
    d = (sx * mm - sm * mx) / det;
    dmin = (sx * sm - ss * mx) / det;
  } else if (mm > 0.0F) {
    return;
  }
  if (d > 0.0F && dmin >= 0.0F) set_affine_d(groups, first, d, dmin, bits);
}

template <int q_max, int kValues, int n>
QUERN_LANE_PART void fit_affine(AffineGroups<kValues>& groups, int n_blocks, float limit,
                                const Starts<n>& starts, int rounds, AffineBits* bits) {
  constexpr int kGroups = 256 / kValues;
  for (int at = 0; at < kBatch; at += kLanes) {
    const Affine best = best_affine<q_max>(groups.batch, at, starts, true);
    store(&groups.scale[at], best.scale);
    store(&groups.min[at], -best.offset);
    Lanes w{};
    Lanes x{};
    for (int j = 0; j < kValues; ++j) {
      w += load(&groups.batch.w[j][at]);
      x += load(&groups.batch.w[j][at]) * load(&groups.batch.x[j][at]);
    }
    store(&groups.w[at], w);
    store(&groups.x[at], x);
  }
  for (int first = 0; first < n_blocks * kGroups; first += kGroups) {
    span_affine(groups, first, limit, bits);
  }
  for (int round = 0; round < rounds; ++round) {
    for (int at = 0; at < kBatch; at += kLanes) step_affine<q_max>(groups, at, limit);
    for (int first = 0; first < n_blocks * kGroups; first += kGroups) {
      refit_affine(groups, first, bits);
    }
  }
  for (int at = 0; at < kBatch; at += kLanes) {
    const Lanes inverse = inverse_or_zero(load(&groups.d[at]) * load(&groups.scale[at]));
    const Lanes min = load(&groups.dmin[at]) * load(&groups.min[at]);
    for (int j = 0; j < kValues; ++j) {
      const Lanes q = (load(&groups.batch.x[j][at]) + min) * inverse;
      store(&groups.codes[j][at], WholeLevels<0, q_max>::level(q));
    }
  }
}

QUERN_LANE_PART void pack_affine(BlockQ2_K& block, const uint8_t* scales, const uint8_t* mins,
                                 const uint8_t* codes) {
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<uint8_t>(scales[g] | (mins[g] << 4));
  pack_quads(codes, block.qs);
}
QUERN_LANE_PART void pack_affine(BlockQ4_K& block, const uint8_t* scales, const uint8_t* mins,
                                 const uint8_t* codes) {
  pack_k_scales(scales, mins, block.scales);
  pack_paired_nibbles(codes, block.qs);
}
QUERN_LANE_PART void pack_affine(BlockQ5_K& block, const uint8_t* scales, const uint8_t* mins,
                                 const uint8_t* codes) {
  pack_k_scales(scales, mins, block.scales);
  pack_paired_nibbles(codes, block.qs);
  pack_q5_k_high(codes, block.qh);
}

template <typename Format, int limit, int n>
QUERN_LANE_PART void encode_scaled_min(const float* src, const float* importance, std::byte* dst,
                                       int64_t n_values, const Starts<n>& starts, int rounds) {
  constexpr int kValues = Format::kGroupValues;
  constexpr int kGroups = 256 / kValues;
  using Block = typename Format::Block;
  AffineGroups<kValues> groups;
  for_batches<Format, kValues>(src, importance, dst, n_values,
                               [&](const float* x, const float* w, Block* blocks, int n_blocks) {
                                 AffineBits bits[kBatch / kGroups];
                                 load_batch(x, w, n_blocks * kGroups, kGroups, groups.batch);
                                 fit_affine<Format::kQMax>(groups, n_blocks,
                                                           static_cast<float>(limit), starts,
                                                           rounds, bits);
                                 for (int b = 0; b < n_blocks; ++b) {
                                   uint8_t codes[256];
                                   uint8_t scales[kGroups];
                                   uint8_t mins[kGroups];
                                   block_bytes<kValues>(groups, b, codes);
                                   whole_bytes<kGroups>(groups.scale + b * kGroups, 0.0F, scales);
                                   whole_bytes<kGroups>(groups.min + b * kGroups, 0.0F, mins);
                                   blocks[b].d = bits[b].d;
                                   blocks[b].dmin = bits[b].dmin;
                                   pack_affine(blocks[b], scales, mins, codes);
                                 }
                               });
}

}  // namespace
}  // namespace quern::quantize
