// The EngineCore's drafts: guesses of the next tokens, computed along with the last known token and
// then drawn one by one as if there were none. A token counts only once it is drawn from the row of
// the tokens before it, all of them drawn too, so no byte depends on what was guessed.
#include <algorithm>

#include "engine/run/engine_core.h"

namespace quern::engine {

// Of the streams that the next step is going to continue. Where prompts are computed too, drafts
// would only take time from them.
std::span<const Speculation> EngineCore::make_drafts() {
  if (speculator_ == nullptr) return {};
  streams_.clear();
  const bool prompts = scheduler_.expects_prompts();
  for (auto it = live_.begin(); !prompts && it != live_.end(); ++it) {
    if (!scheduler_.contains(it->first) || !scheduler_.generates(it->first)) continue;
    Sequence& sequence = *it->second.sequence;
    // The last token is drawn from the row before it, so there is nothing to gain from guessing it.
    const int64_t left =
        sequence.max_tokens_in_all() - static_cast<int64_t>(sequence.tokens().size());
    streams_.push_back(
        {it->first, sequence.tokens(), &sequence.request().sampling, sequence.matcher(), left - 1});
  }
  const Budget& budget = scheduler_.budget();
  const int32_t n_rows = std::min(budget.max_step_tokens, budget.max_step_outputs) -
                         static_cast<int32_t>(streams_.size());
  const auto n_streams = static_cast<int32_t>(std::max<size_t>(streams_.size(), 1));
  const StepCosts& costs = meter_.costs();
  speculator_->propose(streams_, costs, n_rows,
                       costs.prompt_budget_ns(n_streams, budget.max_gap_ns));
  return speculator_->lengths();
}

std::span<const TokenId> EngineCore::draft_of(const PlannedSequence& planned) const {
  if (planned.n_drafted == 0) return {};
  return speculator_->draft(planned.id).first(static_cast<size_t>(planned.n_drafted));
}

SpeculationStats EngineCore::speculation() const {
  SpeculationStats stats;
  if (speculator_ == nullptr) return stats;
  stats.on = speculator_->on();
  const Acceptance& acceptance = speculator_->acceptance();
  for (int kind = 0; kind < kDraftKinds; ++kind) {
    if (!acceptance.known(kind)) continue;
    stats.acceptance[static_cast<size_t>(kind)] = acceptance.rate(kind);
  }
  stats.sequences = static_cast<int32_t>(
      std::count_if(plan_.sequences.begin(), plan_.sequences.end(),
                    [](const PlannedSequence& planned) { return planned.n_drafted > 0; }));
  return stats;
}

// Draws from the first row, and from each further one as long as the draft was right so far.
void EngineCore::draw_drafted(const PlannedSequence& planned, std::span<float> rows) {
  const auto draft = draft_of(planned);
  const auto width = static_cast<size_t>(n_vocab_);
  const uint64_t accepted_before = counters_.accepted_tokens;
  bool rejected = false;
  for (size_t i = 0; i <= draft.size(); ++i) {
    const auto guess = i < draft.size() ? std::optional(draft[i]) : std::nullopt;
    const auto drawn = draw(live_.find(planned.id), rows.subspan(i * width, width), guess);
    if (!drawn) break;  // the sequence is over
    rejected = guess && *drawn != *guess;
    if (rejected) break;
  }
  if (draft.empty()) return;
  counters_.drafted_tokens += draft.size();
  speculator_->note(planned.id, static_cast<int32_t>(counters_.accepted_tokens - accepted_before),
                    rejected);
}

}  // namespace quern::engine
