// See candidates.h.
#include "engine/sample/candidates.h"

#include <limits>

#include "engine/sample/exact_math.h"

namespace quern::engine {

double highest_logit(std::span<const Candidate> candidates) {
  float best = -std::numeric_limits<float>::infinity();
  for (const Candidate& c : candidates) best = std::max(best, c.logit);
  return best;
}

double partition_sum(std::span<const Candidate> candidates, double max) {
  double sum = 0;
  for (const Candidate& c : candidates) sum += exact_exp(c.logit - max);
  return sum;
}

Drawn draw_candidate(ChainState& state, double u) {
  const double max = highest_logit(state.candidates);
  state.weights.clear();
  double sum = 0;
  for (const Candidate& c : state.candidates) {
    state.weights.push_back(exact_exp(static_cast<double>(c.logit) - max));
    sum += state.weights.back();
  }
  const double target = u * sum;
  double reached = 0;
  size_t last = 0;
  for (size_t i = 0; i < state.candidates.size(); ++i) {
    if (state.weights[i] == 0) continue;
    last = i;
    reached += state.weights[i];
    if (target < reached) break;
  }
  return {last, (state.candidates[last].logit - max) - exact_log(sum)};
}

}  // namespace quern::engine
