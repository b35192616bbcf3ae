// How many tokens to draft for each stream, so that a step yields the most tokens per time.
//
// Pure arithmetic on measured rates and costs. If each token of a draft comes true with probability
// a, given that those before it did, the d-th one is worth a^d tokens; it costs one more row of the
// step, and what the draft model takes to make it. (Leviathan, Kalman, Matias, "Fast Inference from
// Transformers via Speculative Decoding", ICML 2023, section 3.3, with the costs of a batch.)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/scheduler/step_costs.h"

namespace quern::engine {

// A stream that could be drafted for.
struct DraftChance {
  double acceptance = 0;
  int32_t max_tokens = 0;
  bool by_model = false;  // the draft model would make it
  bool probe = false;     // its rate has not been looked at for long
};

struct DraftLimits {
  int32_t n_streams = 1;  // that take a row each, drafted for or not
  int32_t n_rows = 0;     // for all drafts together
  // One more token from the draft model, for any number of streams; 0: not known.
  double model_ns = 0;
};

// A length per chance. All are 0 until costs are known. A probe gets one token even if it does not
// pay at the present rate, unless it could not pay at any.
std::vector<int32_t> choose_draft_lengths(std::span<const DraftChance> chances,
                                          const StepCosts& costs, const DraftLimits& limits);

}  // namespace quern::engine
