// Decides which tokens of which sequences the next step computes. Pure: queues and budgets in, plan
// out; no clock, no I/O, no device, no tokens (only their counts).
//
// Policy: sequences that generate go first, one token each; what is left of the token budget goes
// to prompts in order of arrival, in chunks; a waiting sequence is admitted in order of arrival
// when there are pages for all its tokens so far and a spare one for each running sequence that may
// still grow. When a page is missing, the newest running sequence gives up its pages and waits at
// the front of the queue; the oldest always advances, so every sequence ends.
// Invariant: running sequences are older than waiting ones, and every page in use is in exactly the
// tables of running sequences.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/kv/page_pool.h"
#include "engine/kv/page_table.h"
#include "engine/scheduler/budget.h"
#include "engine/scheduler/step_plan.h"

namespace quern::engine {

struct NewSequence {
  SequenceId id = 0;          // larger than every id before
  int64_t n_tokens = 0;       // of the prompt, at least 1
  int64_t max_positions = 0;  // it never grows beyond this; at least n_tokens
  int64_t first_output = 0;   // logits are wanted from this position on
};

class Scheduler {
 public:
  explicit Scheduler(const Budget& budget);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Puts a sequence at the end of the queue. Error (kContextOverflow): it could outgrow the whole
  // pool.
  Status add(const NewSequence& sequence);
  // Forgets a sequence wherever it stands and frees its pages. Not between plan() and commit() of a
  // plan that holds it.
  void remove(SequenceId id);
  // Forgets all sequences. Never allocates, so that it also serves after memory ran out in plan().
  void clear();

  // The next step; empty when nothing is running or waiting. Admits and preempts.
  StepPlan plan();
  // The planned tokens have been computed.
  void commit(const StepPlan& plan);
  // One more token is known (drawn from the logits of the last position). Precondition: all tokens
  // so far are computed and n_tokens < max_positions.
  void append_token(SequenceId id);

  std::span<const PageId> pages(SequenceId id) const;
  // Tokens of the sequence whose keys and values are in its pages.
  int64_t n_computed(SequenceId id) const;
  bool contains(SequenceId id) const { return entries_.contains(id); }
  bool idle() const { return entries_.empty(); }
  int32_t n_running() const { return static_cast<int32_t>(running_.size()); }
  int32_t n_waiting() const { return static_cast<int32_t>(waiting_.size()); }
  int32_t n_pages_used() const { return pool_.n_used(); }
  const Budget& budget() const { return budget_; }

  // What is wrong with pages, queues or counts, or nothing. For tests.
  std::optional<std::string> check_integrity() const;

 private:
  struct Entry {
    int64_t n_tokens = 0;
    int64_t n_computed = 0;
    int64_t max_positions = 0;
    int64_t first_output = 0;  // next position whose logits nobody has had yet
    bool running = false;
    PageTable pages;
  };

  Entry& entry(SequenceId id);
  const Entry& entry(SequenceId id) const;
  void plan_decodes(StepPlan& plan);
  void plan_prompts(StepPlan& plan);
  bool admit_next();
  int64_t pages_kept_for_growth() const;
  bool make_room(SequenceId id, StepPlan& plan);
  void preempt_newest(StepPlan& plan);
  void plan_tokens(SequenceId id, int64_t limit, StepPlan& plan);

  Budget budget_;
  PagePool pool_;  // before entries_, whose tables refer to it
  std::map<SequenceId, Entry> entries_;
  std::vector<SequenceId> running_;  // ascending
  std::deque<SequenceId> waiting_;   // ascending
};

}  // namespace quern::engine
