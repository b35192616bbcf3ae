#include "models/graph/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "config/base/check.h"

namespace quern::graph {
namespace {

// The pair whose wavelength makes `rotations` turns within the original context.
double pair_with_rotations(const arch::HyperParams& hyper, double rotations) {
  const double context = static_cast<double>(hyper.rope_original_context);
  return static_cast<double>(hyper.n_rot) * std::log(context / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(hyper.rope_base));
}

// YaRN: 1 where a pair turns often within the original context and is left as it is, 0 where it
// turns less than once and is interpolated, a ramp between.
double extrapolation_share(const arch::HyperParams& hyper, int64_t pair) {
  const double last = static_cast<double>(hyper.n_rot - 1);
  // std::min and std::max in this order also turn NaN (a base of 1) into a bound.
  const double low =
      std::max(0.0, std::min(last, std::floor(pair_with_rotations(hyper, hyper.rope_beta_fast))));
  double high =
      std::max(0.0, std::min(last, std::ceil(pair_with_rotations(hyper, hyper.rope_beta_slow))));
  if (high - low < 1e-3) high = low + 1e-3;
  const double ramp = (static_cast<double>(pair) - low) / (high - low);
  return 1.0 - std::clamp(ramp, 0.0, 1.0);
}

}  // namespace

RopeFrequencies rope_frequencies(const arch::HyperParams& hyper, std::span<const float> divisors) {
  const int64_t n_pairs = hyper.n_rot / 2;
  CHECK(divisors.empty() || static_cast<int64_t>(divisors.size()) == n_pairs);
  RopeFrequencies out;
  out.inverse.resize(static_cast<size_t>(n_pairs));
  for (int64_t pair = 0; pair < n_pairs; ++pair) {
    const auto index = static_cast<size_t>(pair);
    double frequency = std::pow(
        hyper.rope_base, -2.0 * static_cast<double>(pair) / static_cast<double>(hyper.n_rot));
    if (!divisors.empty()) frequency /= static_cast<double>(divisors[index]);
    if (hyper.rope_scaling == arch::RopeScaling::kLinear) {
      frequency /= hyper.rope_factor;
    } else if (hyper.rope_scaling == arch::RopeScaling::kYarn) {
      const double share = extrapolation_share(hyper, pair);
      frequency = frequency * share + frequency / hyper.rope_factor * (1.0 - share);
    }
    out.inverse[index] = static_cast<float>(frequency);
  }
  double magnitude = hyper.rope_attention_factor;
  if (hyper.rope_scaling == arch::RopeScaling::kYarn && hyper.rope_factor > 1) {
    magnitude *= 1.0 + 0.1 * std::log(hyper.rope_factor);
  }
  out.magnitude = static_cast<float>(magnitude);
  return out;
}

}  // namespace quern::graph
