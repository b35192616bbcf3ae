// Searches for the scale of a group: value = scale * level. And for scale and minimum of one with
// both: value = scale * code - min.
//
// Given codes, the best scale is a least-squares fit; given a scale, the best codes are the
// nearest. From several starts the search goes back and forth between the two and keeps the best.
// Errors are compared as what the fit explains, sum(w x q)^2 / sum(w q^2), which needs no second
// look at the values.
#pragma once

#include "kernels/quantize/batch-inl.h"
#include "kernels/quantize/levels-inl.h"

namespace quern::quantize {
namespace {

struct Moments {
  Lanes xq;  // sum of w x q
  Lanes qq;  // sum of w q q
};

template <typename Levels, int kValues>
QUERN_LANE_PART Moments moments(const Batch<kValues>& batch, int at, Lanes inverse) {
  Moments sum{};
  for (int j = 0; j < kValues; ++j) {
    const Lanes x = load(&batch.x[j][at]);
    const Lanes q = Levels::level(x * inverse);
    const Lanes wq = load(&batch.w[j][at]) * q;
    sum.xq += wq * x;
    sum.qq += wq * q;
  }
  return sum;
}

// The value of largest magnitude of each group, with its sign.
template <int kValues>
QUERN_LANE_PART Lanes signed_peaks(const Batch<kValues>& batch, int at) {
  Lanes peak = load(&batch.x[0][at]);
  for (int j = 1; j < kValues; ++j) {
    const Lanes x = load(&batch.x[j][at]);
    peak = select(magnitude(x) > magnitude(peak), x, peak);
  }
  return peak;
}

// Where a search starts (the level that the peak shall meet) and how often it goes on from the
// best.
template <int n>
struct Starts {
  float levels[n];
  int refinements;
};

// 0 for groups of zeros.
template <typename Levels, int kValues, int n>
QUERN_LANE_PART Lanes best_scale(const Batch<kValues>& batch, int at, const Starts<n>& starts) {
  const Lanes per_level = inverse_or_zero(signed_peaks(batch, at));
  Lanes scale{};
  Lanes gain{};
  const auto keep_better = [&](const Moments& sum) QUERN_LANE_LAMBDA {
    const Lanes fit = sum.xq * inverse_or_zero(sum.qq);
    const Lanes explained = fit * sum.xq;
    const Mask better = explained > gain;
    gain = select(better, explained, gain);
    scale = select(better, fit, scale);
  };
  for (int i = 0; i < n; ++i) {
    keep_better(moments<Levels>(batch, at, per_level * starts.levels[i]));
  }
  for (int i = 0; i < starts.refinements; ++i) {
    keep_better(moments<Levels>(batch, at, inverse_or_zero(scale)));
  }
  return scale;
}

// The codes of every value for given scales.
template <typename Levels, int kValues>
QUERN_LANE_PART void store_level_codes(const Batch<kValues>& batch, int at, Lanes inverse,
                                       float (&codes)[kValues][kBatch]) {
  for (int j = 0; j < kValues; ++j) {
    store(&codes[j][at], Levels::code(Levels::level(load(&batch.x[j][at]) * inverse)));
  }
}

// value = scale * code + offset.
struct Affine {
  Lanes scale;
  Lanes offset;
};

struct AffineMoments {
  Lanes w, x, xx, q, qq, xq;  // sums of w, w x, w x x, w q, w q q, w x q
};

template <int q_max, int kValues>
QUERN_LANE_PART AffineMoments affine_moments(const Batch<kValues>& batch, int at, Lanes inverse,
                                             Lanes offset) {
  AffineMoments sum{};
  for (int j = 0; j < kValues; ++j) {
    const Lanes x = load(&batch.x[j][at]);
    const Lanes w = load(&batch.w[j][at]);
    const Lanes q = WholeLevels<0, q_max>::level((x - offset) * inverse);
    const Lanes wq = w * q;
    sum.q += wq;
    sum.xq += wq * x;
    sum.qq += wq * q;
  }
  return sum;
}

// The least-squares line through (code, value); where that asks for an offset above `most`, the one
// with offset `most`. `explained` is the squared error less than sum(w x x).
template <typename Sums>
QUERN_LANE_PART Affine fitted(const Sums& sum, float most, Lanes& explained) {
  const Lanes det = sum.w * sum.qq - sum.q * sum.q;
  const Lanes inverse = inverse_or_zero(det);
  Affine fit{(sum.w * sum.xq - sum.x * sum.q) * inverse,
             (sum.qq * sum.x - sum.q * sum.xq) * inverse};
  const Mask above = fit.offset > most;
  fit.scale = select(above, (sum.xq - most * sum.q) * inverse_or_zero(sum.qq), fit.scale);
  fit.offset = select(above, splat(most), fit.offset);
  // sum w (x - a q - m)^2 - sum w x^2, with its sign turned.
  explained = fit.scale * (2.0F * sum.xq - fit.scale * sum.qq - 2.0F * fit.offset * sum.q) +
              fit.offset * (2.0F * sum.x - fit.offset * sum.w);
  return fit;
}

// Starts count in codes by which the range of values is made shorter (clipped) or longer; every
// other one clips both ends alike, the rest the upper one only. `zero_inside`: the format's offset
// cannot be positive, so 0 belongs to every range.
template <int q_max, int kValues, int n>
QUERN_LANE_PART Affine best_affine(const Batch<kValues>& batch, int at, const Starts<n>& starts,
                                   bool zero_inside) {
  Lanes low = zero_inside ? splat(0.0F) : load(&batch.x[0][at]);
  Lanes high = low;
  AffineMoments all{};
  for (int j = 0; j < kValues; ++j) {
    const Lanes x = load(&batch.x[j][at]);
    const Lanes w = load(&batch.w[j][at]);
    low = smaller(x, low);
    high = larger(x, high);
    all.w += w;
    all.x += w * x;
  }
  const float most = zero_inside ? 0.0F : 0x1p100F;
  const Lanes per_code = inverse_or_zero(high - low);
  Affine best{splat(0.0F), zero_inside ? low : all.x * inverse_or_zero(all.w)};
  // What a constant explains; any fit of the first start does better unless all values are equal.
  Lanes gain = best.offset * (2.0F * all.x - best.offset * all.w);
  const auto keep_better = [&](AffineMoments sum) QUERN_LANE_LAMBDA {
    sum.w = all.w;
    sum.x = all.x;
    Lanes explained{};
    const Affine fit = fitted(sum, most, explained);
    const Mask better = (explained > gain) & (fit.scale > 0.0F);
    gain = select(better, explained, gain);
    best.scale = select(better, fit.scale, best.scale);
    best.offset = select(better, fit.offset, best.offset);
  };
  for (int i = 0; i < n; ++i) {
    const Lanes inverse = per_code * (static_cast<float>(q_max) + starts.levels[i]);
    const float lower = i % 2 == 0 ? 0.0F : 0.5F * starts.levels[i];
    keep_better(affine_moments<q_max>(batch, at, inverse, low + inverse_or_zero(inverse) * lower));
  }
  for (int i = 0; i < starts.refinements; ++i) {
    keep_better(affine_moments<q_max>(batch, at, inverse_or_zero(best.scale), best.offset));
  }
  return best;
}

}  // namespace
}  // namespace quern::quantize
