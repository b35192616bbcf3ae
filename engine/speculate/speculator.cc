// Look up, weigh, draft: see speculator.h.
#include "engine/speculate/speculator.h"

#include <algorithm>
#include <new>
#include <utility>

#include "engine/speculate/draft_lengths.h"

namespace quern::engine {
namespace {

// Steps after which a stream that is not drafted for is tried again.
constexpr int32_t kProbeSteps = 64;

}  // namespace

void Speculator::propose(std::span<const Stream> streams, const StepCosts& costs, int32_t n_rows,
                         double spare_ns) noexcept {
  try {
    drafts_.clear();
    lengths_.clear();
    if (streams.empty() || n_rows <= 0) return;
    look_up(streams);
    make_drafts(choose(costs, static_cast<int32_t>(streams.size()), n_rows), spare_ns);
  } catch (const std::bad_alloc&) {
    clear();
  }
}

// A match in the text is free; the draft model is asked where there is none, or where matches of
// its length have come true less often than the model's guesses.
void Speculator::look_up(std::span<const Stream> streams) {
  plans_.clear();
  for (const Stream& stream : streams) {
    State& state = states_.try_emplace(stream.id, all_).first->second;
    Plan plan{&stream, kModelKind, {}};
    if (options_.lookup) {
      state.index.extend(stream.tokens);
      plan.match = state.index.find(stream.tokens);
    }
    const bool matches = plan.match.length > 0;
    if (matches && (drafter_ == nullptr || state.acceptance.rate(plan.match.length - 1) >=
                                               state.acceptance.rate(kModelKind))) {
      plan.kind = plan.match.length - 1;
    }
    if (matches || drafter_ != nullptr) plans_.push_back(plan);
  }
}

std::vector<int32_t> Speculator::choose(const StepCosts& costs, int32_t n_streams, int32_t n_rows) {
  std::vector<DraftChance> chances;
  for (const Plan& plan : plans_) {
    const State& state = states_.at(plan.stream->id);
    const auto most = std::clamp<int64_t>(plan.stream->max_tokens, 0, options_.max_tokens);
    chances.push_back({state.acceptance.rate(plan.kind), static_cast<int32_t>(most),
                       plan.kind == kModelKind, state.n_idle >= kProbeSteps});
  }
  if (options_.adaptive) {
    const double model_ns = drafter_ != nullptr ? drafter_->run_ns() : 0;
    return choose_draft_lengths(chances, costs, {n_streams, n_rows, model_ns});
  }
  std::vector<int32_t> lengths;
  for (const DraftChance& chance : chances) {
    lengths.push_back(std::min(chance.max_tokens, n_rows));
    n_rows -= lengths.back();
  }
  return lengths;
}

void Speculator::make_drafts(std::span<const int32_t> lengths, double spare_ns) {
  std::vector<DraftJob> jobs;
  for (size_t i = 0; i < plans_.size(); ++i) {
    const Plan& plan = plans_[i];
    const Stream& stream = *plan.stream;
    State& state = states_.at(stream.id);
    ++state.n_idle;
    if (lengths[i] == 0) continue;
    if (plan.kind == kModelKind) {
      jobs.push_back(
          {stream.id, stream.tokens, stream.sampling, {}, lengths[i], stream.max_tokens, {}});
      if (stream.matcher != nullptr) jobs.back().matcher.emplace(stream.matcher->fork());
    } else {
      state.n_idle = 0;
      drafts_.push_back(
          {stream.id, plan.kind,
           LookupIndex::continuation(stream.tokens, plan.match, static_cast<size_t>(lengths[i]))});
    }
  }
  if (!jobs.empty()) run_drafter(jobs, spare_ns);
  for (const Draft& draft : drafts_) {
    lengths_.push_back({draft.id, static_cast<int32_t>(draft.tokens.size())});
  }
}

// One that is not ready yet has not been tried. Without a draft model the text is all there is, and
// what the model's guesses were worth must not stand in its way.
void Speculator::run_drafter(std::vector<DraftJob>& jobs, double spare_ns) {
  drafter_->draft(jobs, spare_ns);
  for (DraftJob& job : jobs) {
    if (job.drafted.empty()) continue;
    states_.at(job.id).n_idle = 0;
    drafts_.push_back({job.id, kModelKind, std::move(job.drafted)});
  }
  if (drafter_->gone()) drafter_.reset();
}

std::span<const TokenId> Speculator::draft(SequenceId id) const {
  const auto found = std::find_if(drafts_.begin(), drafts_.end(),
                                  [id](const Draft& draft) { return draft.id == id; });
  return found == drafts_.end() ? std::span<const TokenId>() : found->tokens;
}

void Speculator::note(SequenceId id, int32_t n_accepted, bool rejected) {
  const auto draft =
      std::find_if(drafts_.begin(), drafts_.end(), [id](const Draft& one) { return one.id == id; });
  if (draft == drafts_.end()) return;
  all_.note(draft->kind, n_accepted, rejected);
  const auto state = states_.find(id);
  if (state != states_.end()) state->second.acceptance.note(draft->kind, n_accepted, rejected);
}

void Speculator::forget(SequenceId id) {
  states_.erase(id);
  if (drafter_ != nullptr) drafter_->forget(id);
}

void Speculator::clear() {
  for (const auto& [id, state] : states_) {
    if (drafter_ != nullptr) drafter_->forget(id);
  }
  states_.clear();
  drafts_.clear();
  lengths_.clear();
}

}  // namespace quern::engine
