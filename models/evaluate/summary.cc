#include "models/evaluate/summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace quern::evaluate {
namespace {

constexpr std::array<std::pair<std::string_view, double>, 10> kPercentiles = {{{"largest", 1},
                                                                               {"99.9 %", 0.999},
                                                                               {"99 %", 0.99},
                                                                               {"95 %", 0.95},
                                                                               {"90 %", 0.90},
                                                                               {"50 %", 0.50},
                                                                               {"10 %", 0.10},
                                                                               {"5 %", 0.05},
                                                                               {"1 %", 0.01},
                                                                               {"smallest", 0}}};

// `sorted` ascending and not empty.
double value_at(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = place - static_cast<double>(below);
  return sorted[below] + part * (sorted[above] - sorted[below]);
}

}  // namespace

Estimate mean_of(std::span<const double> values) {
  if (values.empty()) return {};
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  if (values.size() < 2) return {mean, 0};
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / n / (n - 1))};
}

Estimate perplexity_of(std::span<const double> nll) {
  const Estimate mean = mean_of(nll);
  const double perplexity = std::exp(mean.value);
  return {perplexity, perplexity * mean.error};
}

std::vector<Percentile> percentiles_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  std::vector<Percentile> out;
  for (const auto& [name, share] : kPercentiles) {
    out.push_back({name, share, value_at(values, share)});
  }
  return out;
}

void DivergenceTable::add(const RowDivergence& row) {
  nll_.push_back(row.nll);
  reference_nll_.push_back(row.reference_nll);
  kl_.push_back(row.kl);
  same_top_.push_back(row.same_top ? 1 : 0);
  change_.push_back(row.probability_change);
}

Estimate DivergenceTable::perplexity_increase() const {
  std::vector<double> differences(nll_.size());
  for (size_t i = 0; i < nll_.size(); ++i) differences[i] = nll_[i] - reference_nll_[i];
  const Estimate mean = mean_of(differences);
  const double ratio = std::exp(mean.value);
  return {ratio - 1, ratio * mean.error};
}

Estimate DivergenceTable::probability_change_rms() const {
  std::vector<double> squares(change_.size());
  for (size_t i = 0; i < change_.size(); ++i) squares[i] = change_[i] * change_[i];
  const Estimate mean = mean_of(squares);
  const double rms = std::sqrt(mean.value);
  return {rms, rms > 0 ? mean.error / (2 * rms) : 0};
}

}  // namespace quern::evaluate
