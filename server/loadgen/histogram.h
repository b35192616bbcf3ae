// Counts of times in steps of one percent, so that a run of any length needs the same memory.
//
// Quantiles are right within half a percent between 1 microsecond and about 3 hours; what is
// shorter or longer counts as that. Count, mean, smallest and largest are exact.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace quern::loadgen {

class Histogram {
 public:
  void add(double seconds);

  uint64_t count() const { return count_; }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  double least() const { return least_; }
  double most() const { return most_; }
  // The smallest value that at least this share (0 to 1) of all does not exceed; 0 when empty.
  double quantile(double share) const;

 private:
  static constexpr size_t kSteps = 2320;  // ln(1e10) / ln(1.01), rounded up

  std::array<uint64_t, kSteps> counts_{};
  uint64_t count_ = 0;
  double sum_ = 0;
  double least_ = 0;
  double most_ = 0;
};

}  // namespace quern::loadgen
