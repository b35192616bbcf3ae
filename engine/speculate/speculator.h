// Guesses the next tokens of streams, for the engine to check: from what the sequence said before
// (LookupIndex) or with a draft model (Drafter), and only as far as it pays (draft_lengths.h).
//
// Leaves the checking to the engine, which draws every token as if there were no guess; so nothing
// here can change an answer. One thread only. Memory: LookupIndex::kMaxSlots * 4 bytes per sequence
// at most, and what the drafter has.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/grammar/matcher.h"
#include "engine/scheduler/step_costs.h"
#include "engine/scheduler/step_plan.h"
#include "engine/speculate/acceptance.h"
#include "engine/speculate/drafter.h"
#include "engine/speculate/lookup_index.h"
#include "engine/types/request.h"

namespace quern::engine {

struct SpeculatorOptions {
  bool lookup = true;      // search the sequence itself
  int32_t max_tokens = 8;  // of one draft
  // False: drafts are as long as possible whatever they cost. For tests.
  bool adaptive = true;
};

class Speculator {
 public:
  // `drafter` may be null.
  Speculator(const SpeculatorOptions& options, std::unique_ptr<Drafter> drafter)
      : options_(options), drafter_(std::move(drafter)) {}

  // A sequence that is about to compute its last token.
  struct Stream {
    SequenceId id = 0;
    std::span<const TokenId> tokens = {};
    const SamplingParams* sampling = nullptr;
    const grammar::Matcher* matcher = nullptr;  // or null
    int64_t max_tokens = 0;                     // that are worth drafting
  };
  // Drafts for the next step, at most `n_rows` tokens in all; `spare_ns` as Drafter::draft. Each
  // call replaces the last one's drafts. Never throws: without memory there are no drafts.
  void propose(std::span<const Stream> streams, const StepCosts& costs, int32_t n_rows,
               double spare_ns = std::numeric_limits<double>::infinity()) noexcept;
  std::span<const Speculation> lengths() const { return lengths_; }
  // Drafted tokens of a sequence; empty if there are none.
  std::span<const TokenId> draft(SequenceId id) const;

  // Of the draft of `id`, the first n_accepted tokens were right; `rejected`: the next was wrong.
  void note(SequenceId id, int32_t n_accepted, bool rejected);
  // The sequence is over; unknown ones are ignored.
  void forget(SequenceId id);

  // Among all sequences, which is what a new one begins with.
  const Acceptance& acceptance() const { return all_; }
  // There is a draft model that has not failed.
  bool has_drafter() const { return drafter_ != nullptr; }
  // Guesses are possible at all.
  bool on() const { return options_.lookup || has_drafter(); }

 private:
  static constexpr double kWeight = 0.1;      // of a token, in its sequence
  static constexpr double kAllWeight = 0.05;  // of a token, among all

  struct State {
    explicit State(const Acceptance& all) : acceptance(kWeight, all) {}
    LookupIndex index;
    Acceptance acceptance;
    int32_t n_idle = 0;  // steps since it was last drafted for
  };
  struct Draft {
    SequenceId id = 0;
    int kind = kModelKind;
    std::vector<TokenId> tokens;
  };
  // What could be done for a stream.
  struct Plan {
    const Stream* stream = nullptr;
    int kind = kModelKind;
    LookupIndex::Match match;
  };

  void look_up(std::span<const Stream> streams);
  std::vector<int32_t> choose(const StepCosts& costs, int32_t n_streams, int32_t n_rows);
  void make_drafts(std::span<const int32_t> lengths, double spare_ns);
  void run_drafter(std::vector<DraftJob>& jobs, double spare_ns);
  void clear();

  SpeculatorOptions options_;
  std::unique_ptr<Drafter> drafter_;
  std::map<SequenceId, State> states_;
  std::vector<Plan> plans_;
  std::vector<Draft> drafts_;  // of the step
  std::vector<Speculation> lengths_;
  Acceptance all_{kAllWeight};
};

}  // namespace quern::engine
