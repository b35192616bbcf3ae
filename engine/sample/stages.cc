// The stages themselves, in the order in which they run.
#include "engine/sample/stages.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "engine/sample/candidates.h"
#include "engine/sample/dry.h"
#include "engine/sample/exact_math.h"
#include "engine/sample/philox.h"

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

bool dry_active(const SamplingParams& params) {
  return params.dry_multiplier > 0.0F && params.dry_window != 0;
}

// base^n for base >= 1, by squaring; infinity when it is too large.
double power(double base, int64_t n) {
  double out = 1;
  for (; n > 0; n /= 2, base *= base) {
    if (n % 2 == 1) out *= base;
  }
  return out;
}

// See dry.h. Of each token that may follow, `counts` holds its longest repetition, plus one.
void apply_dry(ChainState& state, const SamplingParams& params) {
  size_t n = state.history.size();
  if (params.dry_window > 0) n = std::min(n, static_cast<size_t>(params.dry_window));
  const size_t limit = state.breakers == nullptr ? n : std::min(n, state.breakers->n_unbroken());
  const auto allowed = static_cast<size_t>(params.dry_allowed_length);
  if (n <= allowed || limit < allowed) return;
  const auto window = state.history.last(n);
  repetition_lengths(window, limit, state.lengths);
  const size_t begin = state.history.size() - n;
  const auto repeats = [&](size_t i) {
    return static_cast<size_t>(state.lengths[i]) >= allowed &&
           (state.breakers == nullptr || !state.breakers->holds(begin + i));
  };
  for (size_t i = 1; i < n; ++i) {
    if (!repeats(i)) continue;
    int32_t& longest = state.counts[static_cast<size_t>(window[i])];
    longest = std::max(longest, state.lengths[i] + 1);
  }
  for (size_t i = 1; i < n; ++i) {
    int32_t& longest = state.counts[static_cast<size_t>(window[i])];
    if (longest == 0) continue;
    const double penalty =
        params.dry_multiplier * power(params.dry_base, longest - 1 - params.dry_allowed_length);
    float& logit = state.logits[static_cast<size_t>(window[i])];
    // A banned token stays banned, and no other becomes one.
    if (std::isfinite(logit)) {
      logit = static_cast<float>(std::max<double>(logit - penalty, -FLT_MAX));
    }
    longest = 0;
  }
}

bool top_n_sigma_active(const SamplingParams& params) { return params.top_n_sigma > 0.0F; }

// Tang et al., "Top-n sigma: not all logits are you need", 2024: tokens whose logit is at most n
// standard deviations of all logits below the best.
void apply_top_n_sigma(ChainState& state, const SamplingParams& params) {
  const double max = highest_logit(state.candidates);
  const auto n = static_cast<double>(state.candidates.size());
  double sum = 0;
  for (const Candidate& c : state.candidates) sum += c.logit;
  const double mean = sum / n;
  double squares = 0;
  for (const Candidate& c : state.candidates) squares += (c.logit - mean) * (c.logit - mean);
  const double floor = max - params.top_n_sigma * std::sqrt(squares / n);  // rounded correctly
  std::erase_if(state.candidates, [&](const Candidate& c) { return c.logit < floor; });
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
  const double max = highest_logit(state.candidates);
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
  const double max = highest_logit(state.candidates);
  const double sum = partition_sum(state.candidates, max);
  keep_mass(state.candidates, static_cast<double>(params.top_p) * sum, by_logit,
            [&](const Candidate& c) { return exact_exp(c.logit - max); });
}

bool min_p_active(const SamplingParams& params) { return params.min_p > 0.0F; }

// Nguyen et al. 2024: tokens at least min_p times as probable as the best.
void apply_min_p(ChainState& state, const SamplingParams& params) {
  const double max = highest_logit(state.candidates);
  const double floor = exact_log(static_cast<double>(params.min_p));
  std::erase_if(state.candidates, [&](const Candidate& c) { return c.logit - max < floor; });
}

bool xtc_active(const SamplingParams& params) { return params.xtc_probability > 0.0F; }

// Exclude top choices (p-e-w, text-generation-webui pull request 6335, 2024): with the probability
// xtc_probability, all tokens at least as probable as the threshold go, but for the least probable
// of them.
void apply_xtc(ChainState& state, const SamplingParams& params) {
  const double u = uniform_at(params.seed, state.position, DrawLane::kXtc);
  if (u >= params.xtc_probability) return;
  const double max = highest_logit(state.candidates);
  const double least =
      static_cast<double>(params.xtc_threshold) * partition_sum(state.candidates, max);
  const double floor = least > 0 ? exact_log(least) : -DBL_MAX;
  const auto is_top = [&](const Candidate& c) { return c.logit - max >= floor; };
  const Candidate* kept = nullptr;
  for (const Candidate& c : state.candidates) {
    if (is_top(c) && (kept == nullptr || by_logit(*kept, c))) kept = &c;
  }
  if (kept == nullptr) return;
  const TokenId id = kept->id;
  std::erase_if(state.candidates, [&](const Candidate& c) { return c.id != id && is_top(c); });
}

bool temperature_active(const SamplingParams& params) {
  return params.temperature != 1.0F || params.dynatemp_range > 0.0F;
}

// Between temperature - range and temperature + range: the entropy of the candidates, as a share of
// what it could be, to the power of the exponent. As llama.cpp does it, after Kalomaze's
// description (2023).
double dynamic_temperature(const ChainState& state, const SamplingParams& params) {
  const double low = std::max(0.0F, params.temperature - params.dynatemp_range);
  const double high = params.temperature + params.dynatemp_range;
  const double max = highest_logit(state.candidates);
  const double log_sum = exact_log(partition_sum(state.candidates, max));
  double entropy = 0;
  for (const Candidate& c : state.candidates) {
    const double log_p = std::min((c.logit - max) - log_sum, 0.0);
    entropy -= exact_exp(log_p) * log_p;
  }
  const double most = exact_log(static_cast<double>(state.candidates.size()));
  const double share = std::clamp(entropy / most, DBL_MIN, 1.0);
  return low + (high - low) * exact_exp(params.dynatemp_exponent * exact_log(share));
}

// Logits relative to the best, so that a tiny temperature overflows to "never" and not to NaN.
void apply_temperature(ChainState& state, const SamplingParams& params) {
  if (state.candidates.size() < 2) return;
  const double max = highest_logit(state.candidates);
  double temperature = params.temperature;
  if (params.dynatemp_range > 0.0F) temperature = dynamic_temperature(state, params);
  temperature = std::max(temperature, DBL_MIN);
  for (Candidate& c : state.candidates) {
    c.logit = static_cast<float>(std::max((c.logit - max) / temperature, -1e30));
  }
}

constexpr auto kLogits = StageKind::kLogits;
constexpr auto kCandidates = StageKind::kCandidates;

constexpr Stage kStages[] = {
    {"logit_bias", 0, kLogits, false, bias_active, apply_bias},
    {"penalties", 'e', kLogits, false, penalties_active, apply_penalties},
    {"dry", 'd', kLogits, false, dry_active, apply_dry},
    {"top_n_sigma", 's', kCandidates, true, top_n_sigma_active, apply_top_n_sigma},
    {"top_k", 'k', kCandidates, true, top_k_active, apply_top_k},
    {"typ_p", 'y', kCandidates, true, typical_active, apply_typical},
    {"top_p", 'p', kCandidates, true, top_p_active, apply_top_p},
    {"min_p", 'm', kCandidates, true, min_p_active, apply_min_p},
    {"xtc", 'x', kCandidates, true, xtc_active, apply_xtc},
    {"temperature", 't', kCandidates, false, temperature_active, apply_temperature},
};

Error wrong_stages(const std::string& what) {
  std::string names;
  for (const Stage& stage : kStages) {
    if (stage.letter == 0) continue;
    names.append(names.empty() ? "" : ", ").append(stage.name);
  }
  return Error(ErrorKind::kInvalidInput, "samplers: " + what + "; the names are " + names);
}

Status add_stage(const Stage* stage, const std::string& name, std::vector<uint8_t>& out) {
  if (stage == std::end(kStages)) return wrong_stages("there is no \"" + name + "\"");
  out.push_back(static_cast<uint8_t>(stage - kStages));
  return ok_status();
}

}  // namespace

std::span<const Stage> sampler_stages() { return kStages; }

Result<std::vector<uint8_t>> stages_of_names(std::span<const std::string> names) {
  std::vector<uint8_t> out;
  for (const std::string& name : names) {
    const Stage* stage =
        std::find_if(std::begin(kStages), std::end(kStages),
                     [&](const Stage& one) { return one.letter != 0 && one.name == name; });
    QUERN_RETURN_IF_ERROR(add_stage(stage, name.substr(0, 64), out));
  }
  QUERN_RETURN_IF_ERROR(validate_stages(out));
  return out;
}

Result<std::vector<uint8_t>> stages_of_letters(std::string_view letters) {
  std::vector<uint8_t> out;
  for (const char letter : letters) {
    const Stage* stage =
        std::find_if(std::begin(kStages), std::end(kStages),
                     [&](const Stage& one) { return letter != 0 && one.letter == letter; });
    QUERN_RETURN_IF_ERROR(add_stage(stage, std::string(1, letter), out));
  }
  QUERN_RETURN_IF_ERROR(validate_stages(out));
  return out;
}

Status validate_stages(std::span<const uint8_t> stages) {
  bool candidates = false;
  for (size_t i = 0; i < stages.size(); ++i) {
    if (stages[i] >= std::size(kStages)) return wrong_stages("there is no such stage");
    const Stage& stage = kStages[stages[i]];
    const std::string name(stage.name);
    if (std::count(stages.begin(), stages.end(), stages[i]) > 1) {
      return wrong_stages(name + " is there twice");
    }
    if (stage.kind == kLogits && candidates) {
      return wrong_stages(name + " must come before " + std::string(kStages[stages[i - 1]].name));
    }
    candidates = candidates || stage.kind == kCandidates;
  }
  return ok_status();
}

}  // namespace quern::engine
