// Chain and draw.
#include "engine/sample/sampler.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "engine/sample/candidates.h"
#include "engine/sample/logprobs.h"
#include "engine/sample/mirostat.h"
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

// All stages in the order of the table.
std::span<const uint8_t> usual_order() {
  static const std::vector<uint8_t> order = [] {
    std::vector<uint8_t> all(sampler_stages().size());
    std::iota(all.begin(), all.end(), uint8_t{0});
    return all;
  }();
  return order;
}

// Bias is not among the stages that can be named; it always comes first.
std::vector<uint8_t> order_of(const SamplingParams& params) {
  std::vector<uint8_t> order = {0};
  order.insert(order.end(), params.stages.begin(), params.stages.end());
  return order;
}

bool is_greedy(const SamplingParams& params, std::span<const uint8_t> order) {
  const auto is_temperature = [](uint8_t index) {
    return sampler_stages()[index].name == "temperature";
  };
  return params.temperature == 0.0F && params.dynatemp_range == 0.0F &&
         std::any_of(order.begin(), order.end(), is_temperature);
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
  state_.position = input.position;
  state_.breakers = input.memory == nullptr ? nullptr : input.memory->breakers();
  if (!input.top_logprobs) {
    ban_others(input.permitted);
    QUERN_ASSIGN_OR_RETURN(out.token, choose(params, input.memory));
    return out;
  }
  // Stages overwrite the logits, and which token's log-probability is wanted is known only after.
  const std::vector<float> original(input.logits.begin(), input.logits.end());
  ban_others(input.permitted);
  QUERN_ASSIGN_OR_RETURN(out.token, choose(params, input.memory));
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

Result<TokenId> Sampler::choose(const SamplingParams& params, SampleMemory* memory) {
  std::vector<uint8_t> own;
  if (!params.stages.empty()) own = order_of(params);
  const std::span<const uint8_t> order = own.empty() ? usual_order() : own;
  const auto is_logits = [](uint8_t index) {
    return sampler_stages()[index].kind == StageKind::kLogits;
  };
  const auto run = [&](uint8_t index) {
    const Stage& stage = sampler_stages()[index];
    const bool replaced = stage.drops && params.mirostat != 0;
    if (!replaced && stage.active(params)) stage.apply(state_, params);
  };
  const auto middle = std::find_if_not(order.begin(), order.end(), is_logits);
  std::for_each(order.begin(), middle, run);
  if (is_greedy(params, order)) return greedy(state_.logits);
  gather_candidates(state_);
  if (state_.candidates.empty()) return nothing_left();
  std::for_each(middle, order.end(), run);
  if (params.mirostat != 0) {
    double fresh = mirostat_start(params);
    const double u = uniform_at(params.seed, state_.position, DrawLane::kMirostat);
    return draw_mirostat(state_, params, u, memory == nullptr ? fresh : memory->mirostat_mu());
  }
  const double u = uniform_at(params.seed, state_.position, DrawLane::kToken);
  return state_.candidates[draw_candidate(state_, u).index].id;
}

}  // namespace quern::engine
