// Flattens a plan into the arrays of one step.
#include "engine/run/batch_builder.h"

#include "config/base/check.h"

namespace quern::engine {

ops::StepInputs BatchBuilder::build(const StepPlan& plan, std::span<const BatchSource> sources) {
  CHECK(sources.size() == plan.sequences.size());
  tokens_.clear();
  slices_.clear();
  outputs_.clear();
  for (size_t i = 0; i < sources.size(); ++i) {
    const PlannedSequence& planned = plan.sequences[i];
    const auto first = static_cast<size_t>(planned.first_position);
    const auto n_drafted = static_cast<size_t>(planned.n_drafted);
    const auto n_known = static_cast<size_t>(planned.n_tokens) - n_drafted;
    CHECK(first + n_known <= sources[i].tokens.size() && n_drafted <= sources[i].draft.size());
    const auto first_token = static_cast<int32_t>(tokens_.size());
    const auto known = sources[i].tokens.subspan(first, n_known);
    const auto draft = sources[i].draft.first(n_drafted);
    tokens_.insert(tokens_.end(), known.begin(), known.end());
    tokens_.insert(tokens_.end(), draft.begin(), draft.end());
    slices_.push_back({first_token, planned.n_tokens, static_cast<int32_t>(planned.first_position),
                       sources[i].pages, sources[i].adapters});
    for (int32_t k = planned.n_outputs; k > 0; --k) {
      outputs_.push_back(first_token + planned.n_tokens - k);
    }
  }
  return {tokens_, slices_, outputs_};
}

}  // namespace quern::engine
