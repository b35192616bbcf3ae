// Chain and draw. Sums run over the candidates in one fixed order.
#include "engine/sample/sampler.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "engine/sample/exact_math.h"
#include "engine/sample/logprobs.h"
#include "engine/sample/philox.h"

namespace quern::engine {
namespace {

constexpr float kBanned = -std::numeric_limits<float>::infinity();

Error nothing_left() {
  return Error(ErrorKind::kInvalidInput,
               "no token is left to choose from: logit_bias bans every token of the vocabulary, or "
               "every one that the grammar permits; ban fewer tokens");
}

Result<TokenId> greedy(std::span<const float> logits) {
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  if (logits[best] == kBanned) return nothing_left();
  return static_cast<TokenId>(best);
}

void gather_candidates(ChainState& state) {
  state.candidates.clear();
  for (size_t i = 0; i < state.logits.size(); ++i) {
    if (state.logits[i] == kBanned) continue;
    state.candidates.push_back({static_cast<TokenId>(i), state.logits[i]});
  }
}

// Inverts the cumulative distribution at `u`.
TokenId draw(ChainState& state, double u) {
  float max = kBanned;
  for (const Candidate& c : state.candidates) max = c.logit > max ? c.logit : max;
  state.weights.clear();
  double sum = 0;
  for (const Candidate& c : state.candidates) {
    state.weights.push_back(exact_exp(static_cast<double>(c.logit) - max));
    sum += state.weights.back();
  }
  const double target = u * sum;
  double reached = 0;
  TokenId last = state.candidates.front().id;
  for (size_t i = 0; i < state.candidates.size(); ++i) {
    if (state.weights[i] == 0) continue;
    last = state.candidates[i].id;
    reached += state.weights[i];
    if (target < reached) break;
  }
  return last;
}

}  // namespace

Sampler::Sampler(int64_t n_vocab) {
  state_.counts.assign(static_cast<size_t>(n_vocab), 0);
  state_.candidates.reserve(static_cast<size_t>(n_vocab));
  state_.weights.reserve(static_cast<size_t>(n_vocab));
}

Result<Sample> Sampler::sample(const SampleInput& input, const SamplingParams& params) {
  if (!all_finite(input.logits)) {
    return Error(ErrorKind::kInternal, std::string(kNonFiniteMessage));
  }
  Sample out;
  state_.logits = input.logits;
  state_.history = input.history;
  if (!input.top_logprobs) {
    ban_others(input.permitted);
    QUERN_ASSIGN_OR_RETURN(out.token, choose(params, input.position));
    return out;
  }
  // Stages overwrite the logits, and which token's log-probability is wanted is known only after.
  const std::vector<float> original(input.logits.begin(), input.logits.end());
  ban_others(input.permitted);
  QUERN_ASSIGN_OR_RETURN(out.token, choose(params, input.position));
  out.logprob = token_logprob(original, out.token, *input.top_logprobs);
  return out;
}

void Sampler::ban_others(std::span<const uint64_t> permitted) {
  if (permitted.empty()) return;
  const size_t n = state_.logits.size();
  for (size_t begin = 0; begin < n; begin += 64) {
    const uint64_t word = begin / 64 < permitted.size() ? permitted[begin / 64] : 0;
    const size_t end = std::min(begin + 64, n);
    if (word == 0) {
      std::fill(state_.logits.begin() + static_cast<std::ptrdiff_t>(begin),
                state_.logits.begin() + static_cast<std::ptrdiff_t>(end), kBanned);
      continue;
    }
    for (size_t i = begin; i < end && word != ~uint64_t{0}; ++i) {
      if ((word >> (i % 64) & 1) == 0) state_.logits[i] = kBanned;
    }
  }
}

Result<TokenId> Sampler::choose(const SamplingParams& params, uint64_t position) {
  bool gathered = false;
  for (const Stage& stage : sampler_stages()) {
    if (stage.kind == StageKind::kCandidates && !gathered) {
      if (params.temperature == 0.0F) return greedy(state_.logits);
      gather_candidates(state_);
      if (state_.candidates.empty()) return nothing_left();
      gathered = true;
    }
    if (stage.active(params)) stage.apply(state_, params);
  }
  return draw(state_, uniform_at(params.seed, position, 0));
}

}  // namespace quern::engine
