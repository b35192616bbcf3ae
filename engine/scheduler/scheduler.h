// Decides which tokens of which sequences the next step computes. Pure: queues, budgets and
// measured costs in, plan out; no clock, no I/O, no device. It knows tokens only to find equal
// prompts.
//
// Policy: sequences that generate go first, one token each. What is left of the token budget and of
// the time that running streams allow (Budget::max_gap_ns) goes to prompts in chunks, the least
// served share first. A waiting sequence is admitted in the order of WaitQueue when there are pages
// for all its tokens so far and a spare one for each running sequence that may still grow. Pages of
// equal prompts of one share, computed with the same adapters, are computed once and shared
// (PrefixTree). When a page is missing,
// unused pages of the tree are given up, then a running sequence gives up its pages and waits
// again: one of the share that holds most pages, of these the least urgent, then the newest. The
// oldest of all never does and always advances, so every sequence ends. Drafts of tokens to come
// are checked in steps without prompts, in whatever tokens, rows and pages are left; they count as
// computed, and the tree learns of them, only once they are confirmed. Invariant: every page in use
// is in the tables of running sequences only, and a page that is written is in exactly one table
// and not in the tree.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/kv/page_pool.h"
#include "engine/kv/page_table.h"
#include "engine/kv/prefix_tree.h"
#include "engine/scheduler/budget.h"
#include "engine/scheduler/step_costs.h"
#include "engine/scheduler/step_plan.h"
#include "engine/scheduler/wait_queue.h"

namespace quern::engine {

struct NewSequence {
  SequenceId id = 0;                     // larger than every id before
  std::span<const TokenId> tokens = {};  // the prompt, at least one; copied
  int64_t max_positions = 0;             // it never grows beyond this; at least the prompt
  int64_t first_output = 0;              // logits are wanted from this position on
  ShareId share = 0;
  int32_t priority = 0;  // lower goes first within its share
  // A sequence with the same prompt, share and adapters whose computation this one waits for, see
  // fork().
  std::optional<SequenceId> leader = {};
  uint64_t adapters = 0;  // number of the set that it is computed with, see PromptSpace
};

class Scheduler {
 public:
  explicit Scheduler(const Budget& budget);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Puts a sequence into the queue, or holds it for its leader. Error (kContextOverflow): it could
  // outgrow the whole pool.
  Status add(const NewSequence& sequence);
  // Forgets a sequence wherever it stands and frees its pages; of those who waited for it the first
  // computes the prompt instead. Not between plan() and commit() of a plan that holds it. Never
  // allocates.
  void remove(SequenceId id);
  // What this sequence computed cannot be trusted: nobody else is to find it.
  void distrust(SequenceId id);
  // Forgets all sequences. Never allocates, so that it also serves after memory ran out in plan().
  void clear();

  // The next step; empty when nothing is running or waiting. Admits and preempts. As much of
  // `drafts` (one per sequence, of any sequences) is planned as there is room for.
  StepPlan plan(const StepCosts& costs = {}, std::span<const Speculation> drafts = {});
  // The planned tokens have been computed; of drafts nothing is known yet.
  void commit(const StepPlan& plan);
  // One more token is known (drawn from the logits of the last position). Precondition: all tokens
  // so far are computed, or it is just forked; and there are fewer than max_positions. What is left
  // of a draft is given up with its pages.
  void append_token(SequenceId id, TokenId token);
  // The same for a token that equals the next one of the draft, so that it is computed already.
  // Precondition: the step that was committed last holds one more drafted token of the sequence.
  void confirm_token(SequenceId id, TokenId token);
  // The sequence goes on with other tokens: it gives its pages up and waits, in its old place, to
  // have them computed from the start. Precondition: nobody follows it, it may run, and
  // max_positions is at most what add() was told. Not between plan() and commit() of a plan that
  // holds it.
  void restart(SequenceId id, std::span<const TokenId> tokens, int64_t max_positions);

  // Those that wait for `id` to have computed the prompt. Until the next call of add, remove, fork.
  std::span<const SequenceId> followers(SequenceId id) const { return entry(id).followers; }
  // The follower gets what its leader has computed, the prompt, without computing it; its next
  // token comes from the leader's logits (append_token). Precondition: the leader's prompt is
  // computed and nothing else.
  void fork(SequenceId follower);

  // Pages of the tree that hold the first tokens of `tokens`, at most `max_pages`.
  std::vector<PageId> known_pages(PromptSpace space, std::span<const TokenId> tokens,
                                  size_t max_pages) const;
  // Puts n pages, from page `first` of `tokens` on, into the tree; their contents are to be written
  // before the next step. Fewer when the pages before them are not known or no page can be had
  // without taking one from a sequence. Precondition: `tokens` fills them.
  struct Adopted {
    size_t index;  // in `tokens`, counted in pages
    PageId page;
  };
  std::vector<Adopted> adopt(PromptSpace space, std::span<const TokenId> tokens, size_t first,
                             size_t n);

  std::span<const PageId> pages(SequenceId id) const { return entry(id).pages.pages(); }
  // Tokens of the sequence whose keys and values are in its pages.
  int64_t n_computed(SequenceId id) const { return entry(id).n_computed; }
  // Tokens of the prompt that it did not have to compute.
  int64_t n_cached(SequenceId id) const { return entry(id).n_cached; }
  bool contains(SequenceId id) const { return entries_.contains(id); }
  // It runs and its next step computes one token, drawn before, so that a draft may follow.
  bool generates(SequenceId id) const;
  // The next step is likely to compute prompts, so that no draft is going to be planned.
  bool expects_prompts() const;
  bool idle() const { return entries_.empty(); }
  int32_t n_running() const { return static_cast<int32_t>(running_.size()); }
  int32_t n_waiting() const { return static_cast<int32_t>(entries_.size() - running_.size()); }
  // Those that wait, for a place or for their leader, by share; shares without any are left out.
  std::map<ShareId, int32_t> waiting_by_share() const;
  int32_t n_pages_used() const { return pool_.n_used(); }
  int32_t n_pages_idle() const { return pool_.n_idle(); }
  uint64_t n_pages_evicted() const { return tree_.n_evicted(); }
  double served(ShareId share) const { return queue_.served(share); }
  const Budget& budget() const { return budget_; }

  // What is wrong with pages, queues or counts, or nothing. For tests.
  std::optional<std::string> check_integrity() const;

 private:
  enum class State : uint8_t { kHeld, kWaiting, kRunning };
  struct Entry {
    std::vector<TokenId> tokens;
    int64_t n_prompt = 0;
    int64_t n_computed = 0;
    int64_t n_drafted = 0;  // in pages behind its tokens, by the plan that is under way
    int64_t n_filed = 0;    // pages from the front that have been offered to the tree
    int64_t n_cached = -1;  // -1: not admitted yet
    int64_t max_positions = 0;
    int64_t first_output = 0;  // next position whose logits nobody has had yet
    State state = State::kWaiting;
    WaitQueue::Ticket ticket;
    PromptSpace space = 0;
    SequenceId leader = 0;  // while held
    std::vector<SequenceId> followers;
    PageTable pages;

    int64_t n_tokens() const { return static_cast<int64_t>(tokens.size()); }
    int64_t n_missing() const { return n_tokens() - n_computed; }
  };
  // What prompts may take of a step.
  struct PromptRoom {
    const StepCosts* costs = nullptr;
    bool bounded = false;  // streams run beside it
    double ns = 0;
    int64_t n_tokens = 0;  // planned so far
  };
  // Pages of the tree that a sequence can begin with.
  struct Match {
    std::vector<PageId> pages;
    int64_t n_tokens = 0;  // of them, as far as it need not compute them
    int64_t n_idle = 0;    // of the pages
  };

  Entry& entry(SequenceId id);
  const Entry& entry(SequenceId id) const;
  bool reuses() const { return budget_.max_idle_pages > 0; }

  // scheduler.cc: order
  void plan_decodes(StepPlan& plan);
  void plan_prompts(PromptRoom& room, StepPlan& plan);
  int64_t chunk_limit(const PromptRoom& room, int64_t first_position, const StepPlan& plan) const;
  void plan_chunk(SequenceId id, PromptRoom& room, StepPlan& plan);
  void plan_tokens(SequenceId id, int64_t limit, StepPlan& plan);
  void plan_draft(const Speculation& draft, StepPlan& plan);
  void start_running(SequenceId id, Entry& found);
  void stop_running(SequenceId id, Entry& found);

  // scheduler_pages.cc: pages
  std::optional<SequenceId> admit_next(StepPlan& plan);
  Match match(const Entry& found) const;
  int64_t pages_kept_for_growth() const;
  bool free_pages(int64_t n);
  bool secure(Entry& wanting, StepPlan& plan);
  void make_room(SequenceId id, StepPlan& plan);
  int64_t room_behind(Entry& found, int64_t n_wanted);
  std::map<ShareId, int64_t> pages_held() const;
  SequenceId choose_victim() const;
  SequenceId preempt_one(StepPlan& plan);
  void give_up_pages(Entry& found);
  void drop_surplus();
  PageId parent_of(const Entry& found, int64_t index) const;
  void file_pages(SequenceId id, Entry& found);
  void skip_known_pages(Entry& found);
  bool computed_by_other(const Entry& found, const StepPlan& plan) const;

  // scheduler_integrity.cc
  std::optional<std::string> check_entry(SequenceId id, const Entry& found) const;

  Budget budget_;
  PagePool pool_;  // before all that refer to it
  PrefixTree tree_;
  std::map<SequenceId, Entry> entries_;
  std::vector<SequenceId> running_;  // ascending; capacity for max_running
  bool lacks_pages_ = false;         // the last plan had all for the next admission but pages
  WaitQueue queue_;
};

}  // namespace quern::engine
