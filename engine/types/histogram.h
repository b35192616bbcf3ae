// Counts of observations between fixed bounds, in the form that Prometheus reads: how many were at
// most so large, how many in all, and their sum.
//
// A plain value for one thread; whoever publishes it copies it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quern::engine {

// Upper bounds of the buckets, ascending; one more bucket takes what is larger.
inline constexpr std::array kGapBounds = {0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015,
                                          0.02,  0.03,  0.04,  0.05,  0.075,  0.1,  0.15,
                                          0.2,   0.3,   0.5,   0.75,  1.0,    2.5,  5.0};
inline constexpr std::array kDurationBounds = {0.001, 0.0025, 0.005, 0.01,  0.025, 0.05,
                                               0.1,   0.25,   0.5,   1.0,   2.5,   5.0,
                                               10.0,  25.0,   50.0,  100.0, 250.0, 500.0};
inline constexpr std::array kCountBounds = {1.0,     2.0,     5.0,     10.0,    20.0,   50.0,
                                            100.0,   200.0,   500.0,   1000.0,  2000.0, 5000.0,
                                            10000.0, 20000.0, 50000.0, 100000.0};

template <const auto& kBounds>
class Histogram {
 public:
  static constexpr size_t kBuckets = kBounds.size() + 1;

  void observe(double value) {
    const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), value);
    ++counts_[static_cast<size_t>(bucket - kBounds.begin())];
    sum_ += value;
  }
  void add(const Histogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    sum_ += other.sum_;
  }

  static std::span<const double> bounds() { return kBounds; }
  // Per bucket, not yet added up; one more than there are bounds.
  std::span<const uint64_t> counts() const { return counts_; }
  double sum() const { return sum_; }

 private:
  std::array<uint64_t, kBuckets> counts_{};
  double sum_ = 0;
};

using GapHistogram = Histogram<kGapBounds>;            // seconds between tokens
using DurationHistogram = Histogram<kDurationBounds>;  // seconds of a request
using CountHistogram = Histogram<kCountBounds>;        // tokens, tokens per second

}  // namespace quern::engine
