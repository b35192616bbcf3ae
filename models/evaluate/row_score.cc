#include "models/evaluate/row_score.h"

#include <algorithm>
#include <cmath>

namespace quern::evaluate {
namespace {

// The lowest token of the largest logit.
TokenId top_token(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

double at(std::span<const float> logits, TokenId token) {
  return static_cast<double>(logits[static_cast<size_t>(token)]);
}

// Rounding may bring a divergence of equal rows just below 0.
double not_negative(double kl) { return kl < 0 ? 0 : kl; }

}  // namespace

double log_sum_exp(std::span<const float> x) {
  const auto largest = static_cast<double>(*std::max_element(x.begin(), x.end()));
  double sum = 0;
  for (const float value : x) sum += std::exp(static_cast<double>(value) - largest);
  return largest + std::log(sum);
}

double negative_log_likelihood(std::span<const float> logits, TokenId target) {
  return log_sum_exp(logits) - at(logits, target);
}

RowDivergence compare_rows(std::span<const float> reference, std::span<const float> logits,
                           TokenId target) {
  const double reference_sum = log_sum_exp(reference);
  const double sum = log_sum_exp(logits);
  double kl = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double log_p = static_cast<double>(reference[i]) - reference_sum;
    const double log_q = static_cast<double>(logits[i]) - sum;
    kl += std::exp(log_p) * (log_p - log_q);
  }
  RowDivergence out;
  out.nll = sum - at(logits, target);
  out.reference_nll = reference_sum - at(reference, target);
  out.kl = not_negative(kl);
  out.same_top = top_token(reference) == top_token(logits);
  out.probability_change = std::exp(-out.nll) - std::exp(-out.reference_nll);
  return out;
}

RowDivergence compare_rows(const ReferenceRow& reference, std::span<const float> logits,
                           TokenId target) {
  const double sum = log_sum_exp(logits);
  double kl = 0;
  double listed = 0;  // probability of the listed tokens, by the candidate
  for (const ReferenceEntry& entry : reference.entries) {
    const double log_q = at(logits, entry.token) - sum;
    const double log_p = entry.log_probability();
    kl += std::exp(log_p) * (log_p - log_q);
    listed += std::exp(log_q);
  }
  const auto rest = static_cast<double>(reference.rest);
  // Nothing left is nothing to compare; a candidate that leaves nothing to the rest is taken at the
  // smallest double.
  if (rest > 0) kl += rest * (std::log(rest) - std::log(std::max(1 - listed, 1e-300)));
  RowDivergence out;
  out.nll = sum - at(logits, target);
  out.reference_nll = static_cast<double>(reference.target_nll);
  out.kl = not_negative(kl);
  out.same_top = !reference.entries.empty() && reference.entries.front().token == top_token(logits);
  out.probability_change = std::exp(-out.nll) - std::exp(-out.reference_nll);
  return out;
}

}  // namespace quern::evaluate
