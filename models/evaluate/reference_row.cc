#include "models/evaluate/reference_row.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/evaluate/row_score.h"

namespace quern::evaluate {

ReferenceRow make_reference_row(std::span<const float> logits, TokenId target,
                                const ReferenceRowLimits& limits) {
  const double sum = log_sum_exp(logits);
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto n = std::min(static_cast<size_t>(limits.max_entries), order.size());
  const auto likelier = [&](TokenId a, TokenId b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(),
                    likelier);
  ReferenceRow row;
  row.target_nll =
      static_cast<float>(sum - static_cast<double>(logits[static_cast<size_t>(target)]));
  double rest = 1;
  for (size_t i = 0; i < n && rest > limits.rest; ++i) {
    const double log_p = static_cast<double>(logits[static_cast<size_t>(order[i])]) - sum;
    const double steps = std::round(-log_p / ReferenceEntry::kStep);
    row.entries.push_back({order[i], static_cast<uint16_t>(std::clamp(steps, 0.0, 65535.0))});
    rest -= std::exp(log_p);
  }
  // When all are listed, what is left is rounding.
  row.rest = row.entries.size() == order.size() ? 0.0F : static_cast<float>(std::max(rest, 0.0));
  return row;
}

}  // namespace quern::evaluate
