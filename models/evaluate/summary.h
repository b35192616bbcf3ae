// From rows to the figures that are printed: means with their standard errors, and percentiles.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "models/evaluate/row_score.h"

namespace quern::evaluate {

// A mean and its standard error; the error is 0 for fewer than two values.
struct Estimate {
  double value = 0;
  double error = 0;
};

Estimate mean_of(std::span<const double> values);
// exp of the mean; its error to first order.
Estimate perplexity_of(std::span<const double> nll);

struct Percentile {
  std::string_view name;  // "99.9 %"
  double share = 0;       // of the values at or below; 1: the largest, 0: the smallest
  double value = 0;
};
// Of the fixed list largest, 99.9, 99, 95, 90, 50, 10, 5, 1, smallest; between two values by
// straight line. `values` is not empty.
std::vector<Percentile> percentiles_of(std::vector<double> values);

// Rows as columns, filled while a text is run.
class DivergenceTable {
 public:
  void add(const RowDivergence& row);
  int64_t size() const { return static_cast<int64_t>(nll_.size()); }
  std::span<const double> nll() const { return nll_; }
  std::span<const double> reference_nll() const { return reference_nll_; }
  std::span<const double> kl() const { return kl_; }
  std::span<const double> probability_change() const { return change_; }

  // Share of rows where both find the same token likeliest.
  Estimate same_top() const { return mean_of(same_top_); }
  // Perplexity divided by the reference's, minus 1; its error counts that both saw the same text.
  Estimate perplexity_increase() const;
  // Root mean square of the change of the target's probability.
  Estimate probability_change_rms() const;

 private:
  std::vector<double> nll_, reference_nll_, kl_, same_top_, change_;
};

}  // namespace quern::evaluate
