// The stages themselves. Every order used here is total (ties go to the lower id), so no result
// depends on the sorting algorithm of the standard library.
#include "engine/sample/stages.h"

#include <algorithm>
#include <cfloat>
#include <limits>

#include "engine/sample/exact_math.h"

namespace quern::engine {
namespace {

// Keeps a rewritten logit from becoming +infinity; -infinity bans a token.
float bounded(float logit) { return std::min(logit, FLT_MAX); }

bool bias_active(const SamplingParams& params) { return !params.logit_bias.empty(); }

void apply_bias(ChainState& state, const SamplingParams& params) {
  for (const auto& [id, bias] : params.logit_bias) {
    float& logit = state.logits[static_cast<size_t>(id)];
    logit = bounded(logit + bias);
  }
}

bool penalties_active(const SamplingParams& params) {
  return params.penalty_window != 0 &&
         (params.repetition_penalty != 1.0F || params.presence_penalty != 0.0F ||
          params.frequency_penalty != 0.0F);
}

// Repetition: Keskar et al. 2019 (CTRL), with the division turned round for negative logits.
// Presence and frequency: as OpenAI documents them, over the window.
void apply_penalties(ChainState& state, const SamplingParams& params) {
  size_t n = state.history.size();
  if (params.penalty_window > 0) n = std::min(n, static_cast<size_t>(params.penalty_window));
  const auto window = state.history.last(n);
  for (const TokenId id : window) ++state.counts[static_cast<size_t>(id)];
  for (const TokenId id : window) {
    int32_t& count = state.counts[static_cast<size_t>(id)];
    if (count == 0) continue;  // done at its first occurrence
    float logit = state.logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    logit -= static_cast<float>(count) * params.frequency_penalty;
    logit -= params.presence_penalty;
    state.logits[static_cast<size_t>(id)] = bounded(logit);
    count = 0;
  }
}

bool by_logit(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// Puts the n first elements of [begin, end) by `less` in order at the front.
template <typename Iterator, typename Less>
void sort_front(Iterator begin, Iterator end, size_t n, Less less) {
  const auto size = static_cast<size_t>(end - begin);
  if (n >= size) {
    std::sort(begin, end, less);
  } else if (n < size / 16) {  // a heap of n beats partitioning while n is small
    std::partial_sort(begin, begin + static_cast<std::ptrdiff_t>(n), end, less);
  } else {
    const auto middle = begin + static_cast<std::ptrdiff_t>(n);
    std::nth_element(begin, middle, end, less);
    std::sort(begin, middle, less);
  }
}

double highest(const std::vector<Candidate>& candidates) {
  float best = -std::numeric_limits<float>::infinity();
  for (const Candidate& c : candidates) best = std::max(best, c.logit);
  return best;
}

// Sum of exp(logit - max) in the candidates' order.
double partition_sum(const std::vector<Candidate>& candidates, double max) {
  double sum = 0;
  for (const Candidate& c : candidates) sum += exact_exp(c.logit - max);
  return sum;
}

// Keeps the shortest front by `less` whose weights reach `mass`; sorts no more than it needs.
template <typename Less, typename Weight>
void keep_mass(std::vector<Candidate>& candidates, double mass, Less less, Weight weight) {
  double sum = 0;
  size_t sorted = 0;
  for (size_t block = 128; sorted < candidates.size(); block *= 8) {
    const size_t n = std::min(block, candidates.size() - sorted);
    sort_front(candidates.begin() + static_cast<std::ptrdiff_t>(sorted), candidates.end(), n, less);
    for (size_t i = sorted; i < sorted + n; ++i) {
      sum += weight(candidates[i]);
      if (sum >= mass) {
        candidates.resize(i + 1);
        return;
      }
    }
    sorted += n;
  }
}

bool top_k_active(const SamplingParams& params) { return params.top_k > 0; }

void apply_top_k(ChainState& state, const SamplingParams& params) {
  const auto k = static_cast<size_t>(params.top_k);
  if (k >= state.candidates.size()) return;
  sort_front(state.candidates.begin(), state.candidates.end(), k, by_logit);
  state.candidates.resize(k);
}

bool typical_active(const SamplingParams& params) { return params.typical_p < 1.0F; }

// Locally typical sampling, Meister et al. 2022: the tokens whose information is nearest to the
// entropy of the distribution, up to the given mass.
void apply_typical(ChainState& state, const SamplingParams& params) {
  const double max = highest(state.candidates);
  const double sum = partition_sum(state.candidates, max);
  const double log_sum = exact_log(sum);
  double entropy = 0;
  for (const Candidate& c : state.candidates) {
    const double log_p = (c.logit - max) - log_sum;
    entropy -= exact_exp(std::min(log_p, 0.0)) * log_p;
  }
  const auto distance = [&](const Candidate& c) {
    const double d = log_sum - (c.logit - max) - entropy;
    return d < 0 ? -d : d;
  };
  const auto nearer = [&](const Candidate& a, const Candidate& b) {
    const double da = distance(a);
    const double db = distance(b);
    return da != db ? da < db : a.id < b.id;
  };
  keep_mass(state.candidates, static_cast<double>(params.typical_p) * sum, nearer,
            [&](const Candidate& c) { return exact_exp(c.logit - max); });
}

bool top_p_active(const SamplingParams& params) { return params.top_p < 1.0F; }

// Nucleus sampling, Holtzman et al. 2020.
void apply_top_p(ChainState& state, const SamplingParams& params) {
  const double max = highest(state.candidates);
  const double sum = partition_sum(state.candidates, max);
  keep_mass(state.candidates, static_cast<double>(params.top_p) * sum, by_logit,
            [&](const Candidate& c) { return exact_exp(c.logit - max); });
}

bool min_p_active(const SamplingParams& params) { return params.min_p > 0.0F; }

// Nguyen et al. 2024: tokens at least min_p times as probable as the best.
void apply_min_p(ChainState& state, const SamplingParams& params) {
  const double max = highest(state.candidates);
  const double floor = exact_log(static_cast<double>(params.min_p));
  std::erase_if(state.candidates, [&](const Candidate& c) { return c.logit - max < floor; });
}

bool temperature_active(const SamplingParams& params) { return params.temperature != 1.0F; }

// Logits relative to the best, so that a tiny temperature overflows to "never" and not to NaN.
void apply_temperature(ChainState& state, const SamplingParams& params) {
  const double max = highest(state.candidates);
  const double temperature = params.temperature;
  for (Candidate& c : state.candidates) {
    c.logit = static_cast<float>(std::max((c.logit - max) / temperature, -1e30));
  }
}

constexpr Stage kStages[] = {
    {"logit_bias", StageKind::kLogits, bias_active, apply_bias},
    {"penalties", StageKind::kLogits, penalties_active, apply_penalties},
    {"top_k", StageKind::kCandidates, top_k_active, apply_top_k},
    {"typical", StageKind::kCandidates, typical_active, apply_typical},
    {"top_p", StageKind::kCandidates, top_p_active, apply_top_p},
    {"min_p", StageKind::kCandidates, min_p_active, apply_min_p},
    {"temperature", StageKind::kCandidates, temperature_active, apply_temperature},
};

}  // namespace

std::span<const Stage> sampler_stages() { return kStages; }

}  // namespace quern::engine
