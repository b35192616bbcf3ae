// Where one sequence stands in its grammar.
//
// One thread at a time; mask() of different sequences may run at once. The state is a function of
// the tokens accepted so far.
#pragma once

#include <future>
#include <memory>
#include <string_view>

#include "config/base/result.h"
#include "engine/grammar/constraint.h"

namespace quern::grammar {

class MaskWorker;

class Matcher {
 public:
  // `drops_first_space`: the first token begins a text whose leading space is not shown.
  Matcher(std::shared_ptr<const Constraint> constraint, bool drops_first_space);

  // One that stands at the same place and goes its own way.
  Matcher fork() const;

  // Tokens permitted next; at least one. Errors (kInvalidInput): none is, or finding out exceeds
  // Limits::max_mask_work. Never more permissive than the grammar.
  Result<std::shared_ptr<const TokenMask>> mask();
  // Computes the next mask on `worker`; mask() then waits for it. Optional: same result without.
  void prefetch(MaskWorker& worker);

  // Takes a token that mask() permitted; tokens that end a generation change nothing.
  // Error (kInternal) for any other.
  Status accept(TokenId token);

  // Whether the text may end here, and whether it must.
  bool accepting() const { return accepting_; }
  bool complete() const { return complete_; }

 private:
  using MaskPointer = std::shared_ptr<const TokenMask>;
  static MaskPointer find_or_make(MatchTables& tables, const Constraint& constraint, StateId state,
                                  bool drop_space);
  void note_state();

  std::shared_ptr<const Constraint> constraint_;
  std::shared_ptr<MatchTables> tables_;
  StateId state_;
  bool drop_space_;
  bool accepting_ = false;
  bool complete_ = false;
  std::future<MaskPointer> pending_;
};

}  // namespace quern::grammar
