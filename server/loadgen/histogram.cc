#include "server/loadgen/histogram.h"

#include <algorithm>
#include <cmath>

namespace quern::loadgen {
namespace {

constexpr double kFirst = 1e-6;  // seconds; upper end of step 0
const double kLogStep = std::log(1.01);

}  // namespace

void Histogram::add(double seconds) {
  seconds = std::max(seconds, 0.0);
  least_ = count_ == 0 ? seconds : std::min(least_, seconds);
  most_ = std::max(most_, seconds);
  sum_ += seconds;
  ++count_;
  size_t step = 0;
  if (seconds > kFirst) {
    const double exact = std::ceil(std::log(seconds / kFirst) / kLogStep);
    step = static_cast<size_t>(std::min(exact, static_cast<double>(kSteps - 1)));
  }
  ++counts_[step];
}

double Histogram::quantile(double share) const {
  if (count_ == 0) return 0;
  const auto n = static_cast<double>(count_);
  const auto rank = static_cast<uint64_t>(std::clamp(std::ceil(share * n), 1.0, n));
  if (rank == count_) return most_;
  uint64_t seen = 0;
  for (size_t step = 0; step < kSteps; ++step) {
    seen += counts_[step];
    if (seen < rank) continue;
    const double middle = kFirst * std::exp(kLogStep * (static_cast<double>(step) - 0.5));
    return std::clamp(middle, least_, most_);
  }
  return most_;
}

}  // namespace quern::loadgen
