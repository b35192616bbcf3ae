// A quadratic in the number of prompt tokens: each attends to those before it.
#include "engine/scheduler/step_costs.h"

#include <algorithm>
#include <cmath>

#include "config/base/check.h"

namespace quern::engine {

int StepCosts::bucket(int32_t n_decodes) {
  CHECK(n_decodes >= 1);
  int index = 0;
  while (index + 1 < kBuckets && (int32_t{1} << index) < n_decodes) ++index;
  return index;
}

double StepCosts::decode_step_ns(int32_t n_decodes) const {
  const int wanted = bucket(n_decodes);
  for (int distance = 0; distance < kBuckets; ++distance) {
    // A larger batch first: too long a guess keeps the bound.
    for (const int index : {wanted + distance, wanted - distance}) {
      if (index < 0 || index >= kBuckets) continue;
      const double known = decode_ns[static_cast<size_t>(index)];
      // Too short a guess would leave no time for prompts, and their steps are what is measured.
      if (known > 0) return known + row_ns * std::max(0, n_decodes - (1 << index));
    }
  }
  return 0;
}

double StepCosts::prompt_ns(int64_t n_tokens, int64_t first_position) const {
  const auto n = static_cast<double>(n_tokens);
  const double attended = n * static_cast<double>(first_position) + n * (n + 1) / 2;
  return n * prompt_token_ns + attended * position_ns;
}

int64_t StepCosts::prompt_tokens_within(double ns, int64_t first_position) const {
  CHECK(prompt_token_ns > 0);
  if (!(ns > 0)) return 0;
  constexpr double kMany = 1e9;
  const double linear = prompt_token_ns + position_ns * (static_cast<double>(first_position) + 0.5);
  // position_ns / 2 * n^2 + linear * n = ns, in the form that is exact for small position_ns.
  const double root = std::sqrt(linear * linear + 2 * position_ns * ns);
  auto n = static_cast<int64_t>(std::min(2 * ns / (linear + root), kMany));
  while (n > 0 && prompt_ns(n, first_position) > ns) --n;  // at most one, for rounding
  return n;
}

int64_t StepCosts::chunk_within(double ns, int64_t first_position, int64_t n_before) const {
  const int64_t timely =
      prompt_token_ns > 0 ? prompt_tokens_within(ns, first_position) : kUnknownChunk - n_before;
  return n_before == 0 ? std::max(timely, kLeastChunk) : timely;
}

double StepCosts::prompt_budget_ns(int32_t n_decodes, double max_gap_ns) const {
  const double idle_gap = decode_step_ns(n_decodes);
  const double bound = max_gap_ns > 0 ? max_gap_ns : std::max(2 * idle_gap, kLeastGapNs);
  return bound - idle_gap;
}

}  // namespace quern::engine
