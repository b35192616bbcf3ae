// The seam to whoever drafts with a model of its own. What it answers is a guess: it can cost time,
// never a byte of an answer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/grammar/matcher.h"
#include "engine/scheduler/step_plan.h"
#include "engine/types/request.h"

namespace quern::engine {

struct DraftJob {
  SequenceId id = 0;
  std::span<const TokenId> tokens = {};       // all known ones
  const SamplingParams* sampling = nullptr;   // how the next ones are going to be drawn
  std::optional<grammar::Matcher> matcher{};  // after `tokens`; a copy to go ahead with
  int32_t n_wanted = 0;
  int64_t n_left = 0;              // tokens that the sequence may still get
  std::vector<TokenId> drafted{};  // answer: up to n_wanted tokens
};

class Drafter {
 public:
  virtual ~Drafter() = default;

  // Drafts for all jobs together; sequences that are not ready yet, or never, get nothing. To make
  // ready those that are not is to take `spare_ns` at most, as far as its costs are known.
  virtual void draft(std::span<DraftJob> jobs, double spare_ns) = 0;
  // Measured time of one more token, for all jobs together; 0: not known yet.
  virtual double run_ns() const = 0;
  // The sequence is over; unknown ones are ignored.
  virtual void forget(SequenceId id) = 0;
  // There will be no drafts any more.
  virtual bool gone() const { return false; }
};

}  // namespace quern::engine
