// See mirostat.h.
#include "engine/sample/mirostat.h"

#include <algorithm>

#include "engine/sample/candidates.h"
#include "engine/sample/exact_math.h"

namespace quern::engine {
namespace {

constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr size_t kEstimated = 100;  // tokens that the exponent is estimated from

// Zipf's exponent by least squares: log(p[i] / p[i + 1]) against log((i + 2) / (i + 1)).
// Precondition: the first kEstimated candidates are sorted.
double zipf_exponent(const std::vector<Candidate>& candidates) {
  const size_t n = std::min(kEstimated, candidates.size());
  double products = 0;
  double squares = 0;
  for (size_t i = 0; i + 1 < n; ++i) {
    const double t = exact_log(static_cast<double>(i + 2) / static_cast<double>(i + 1));
    products += t * (static_cast<double>(candidates[i].logit) - candidates[i + 1].logit);
    squares += t * t;
  }
  return squares == 0 ? 0 : products / squares;
}

// log((s - 1) / (1 - n^(1 - s))), which is positive inside for every s >= 0.
double log_scale(double s, double log_n) {
  constexpr double kNearOne = 1e-9;  // where the quotient is its limit, 1 / log(n)
  const double epsilon = s - 1;
  if (epsilon < kNearOne && epsilon > -kNearOne) return -exact_log(log_n);
  if (epsilon > 0) return exact_log(epsilon) - exact_log(1 - exact_exp(-epsilon * log_n));
  // The same with both signs turned: n^-epsilon - 1 = (1 - n^epsilon) / n^epsilon.
  return exact_log(-epsilon) - exact_log(1 - exact_exp(epsilon * log_n)) + epsilon * log_n;
}

// How many tokens to keep of a distribution with this exponent, from 1 to n_candidates.
size_t tokens_to_keep(double s, double mu, size_t n_vocab, size_t n_candidates) {
  if (n_candidates < 2) return n_candidates;
  const double log_n = exact_log(static_cast<double>(n_vocab));
  const double most = exact_log(static_cast<double>(n_candidates));
  const double numerator = log_scale(s, log_n) + mu * kLn2;
  if (!(numerator > 0)) return 1;
  if (numerator >= s * most) return n_candidates;
  const auto k = static_cast<size_t>(1.0 / exact_exp(-numerator / s));
  return std::clamp<size_t>(k, 1, n_candidates);
}

void keep_by_exponent(ChainState& state, double mu) {
  auto& candidates = state.candidates;
  sort_front(candidates.begin(), candidates.end(), kEstimated, by_logit);
  const double s = zipf_exponent(candidates);
  const size_t k = tokens_to_keep(s, mu, state.logits.size(), candidates.size());
  if (k > kEstimated) sort_front(candidates.begin(), candidates.end(), k, by_logit);
  candidates.resize(k);
}

void keep_by_surprise(ChainState& state, double mu) {
  auto& candidates = state.candidates;
  const double max = highest_logit(candidates);
  const double floor = exact_log(partition_sum(candidates, max)) - mu * kLn2;
  const Candidate best = *std::min_element(candidates.begin(), candidates.end(), by_logit);
  std::erase_if(candidates, [&](const Candidate& c) { return c.logit - max < floor; });
  if (candidates.empty()) candidates.push_back(best);
}

}  // namespace

TokenId draw_mirostat(ChainState& state, const SamplingParams& params, double u, double& mu) {
  params.mirostat == 1 ? keep_by_exponent(state, mu) : keep_by_surprise(state, mu);
  const Drawn drawn = draw_candidate(state, u);
  const double surprise = -drawn.log_p / kLn2;
  mu -= params.mirostat_eta * (surprise - params.mirostat_tau);
  return state.candidates[drawn.index].id;
}

}  // namespace quern::engine
