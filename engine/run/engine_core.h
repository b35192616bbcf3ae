// The engine without its thread: sequences, scheduler, sampler and one step after the other.
//
// One thread only. Every accepted request ends with exactly one kFinished or kFailed event.
// Invariant between steps: live_ and the scheduler hold the same sequences.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/grammar/mask_worker.h"
#include "engine/run/batch_builder.h"
#include "engine/run/event_queue.h"
#include "engine/run/latency_meter.h"
#include "engine/run/step_cost_meter.h"
#include "engine/run/step_runner.h"
#include "engine/run/step_turn.h"
#include "engine/sample/sampler.h"
#include "engine/scheduler/scheduler.h"
#include "engine/sequence/sequence.h"
#include "engine/speculate/speculator.h"
#include "engine/store/store_worker.h"

namespace quern::engine {

// A checked request on its way to the engine thread.
struct Submission {
  std::unique_ptr<Sequence> sequence;
  std::shared_ptr<EventQueue> events;
  // More answers to the same prompt, which is computed once for all of them.
  std::vector<Submission> siblings = {};
  std::vector<Digest> page_names = {};  // of the prompt's whole pages; empty without a disk cache
};

// What a request past its deadline ends with.
Error too_late();

struct CoreCounters {
  uint64_t finished = 0;
  uint64_t failed = 0;
  uint64_t cancelled = 0;
  uint64_t prompt_tokens = 0;      // computed, recomputation not counted
  uint64_t cached_tokens = 0;      // of prompts, taken from the prefix tree or a sibling
  uint64_t restored_pages = 0;     // read from disk
  uint64_t completion_tokens = 0;  // drawn
  uint64_t drafted_tokens = 0;     // guessed and checked
  uint64_t accepted_tokens = 0;    // of those, drawn as guessed
  uint64_t steps = 0;
  uint64_t preemptions = 0;
};

// What a core may have beside its runner; each may be null.
struct CoreParts {
  StoreWorker* store = nullptr;  // where computed prompts are kept on disk
  Speculator* speculator = nullptr;
  StepTurn* turn = nullptr;  // null: steps never wait
};

class EngineCore {
 public:
  // All must outlive the core.
  EngineCore(StepRunner& runner, const Budget& budget, int64_t n_vocab,
             const CoreParts& parts = {});

  // Takes a request and its siblings in; memory running out ends them with an event, as everywhere.
  void accept(Submission submission);
  // Ends what was cancelled or is too late, then plans and runs one step. Does nothing when idle.
  void step();
  // Ends everything with this error.
  void fail_all(const Error& error);

  bool idle() const { return live_.empty() && loading_.empty(); }
  // Nothing can be computed before the disk has answered.
  bool only_loads() const { return live_.empty() && !loading_.empty(); }
  // Computed prompts wait to be handed to the disk; step() does a little of it.
  bool saves() const { return !saving_.empty(); }
  int32_t n_loading() const;
  // Hands over what the disk's queue takes now. For an orderly end.
  void save_all();
  const Scheduler& scheduler() const { return scheduler_; }
  const StepCosts& costs() const { return meter_.costs(); }
  // How long a request that comes now would wait for its first step, as measured so far.
  double predicted_wait_ns() const;
  // Sequences that wait, also for the disk; shares without any are left out.
  std::map<std::string, int32_t, std::less<>> waiting_by_share() const;
  const CoreCounters& counters() const { return counters_; }
  SpeculationStats speculation() const;
  const LatencyStats& latency() const { return latency_.stats(); }
  // Set once the model is gone; every later request is to be refused with it.
  const std::optional<Error>& broken() const { return broken_; }

 private:
  struct Live {
    std::unique_ptr<Sequence> sequence;
    std::shared_ptr<EventQueue> events;
    Event prompt_piece;  // collects prompt log-probabilities
    int64_t n_cached = 0;
    std::vector<Digest> page_names;
  };
  // A group whose prompt is being read from disk.
  struct Loading {
    Submission group;
    size_t first_page = 0;
  };
  // A computed prompt on its way to the disk.
  struct Saving {
    PromptSpace space = 0;
    std::vector<TokenId> tokens;
    std::vector<Digest> names;
    size_t next = 0;  // index of a page
  };
  using LiveMap = std::map<SequenceId, Live>;

  // engine_core_store.cc
  bool start_loading(Submission& group);
  void take_loaded();
  void sweep_loading(TimePoint time);
  void end_unstarted(const Submission& one, const std::optional<Error>& error);
  void note_prompt(const Live& live);
  bool save_some(uint64_t bytes);

  // engine_core_drafts.cc
  std::span<const Speculation> make_drafts();
  std::span<const TokenId> draft_of(const PlannedSequence& planned) const;
  void draw_drafted(const PlannedSequence& planned, std::span<float> rows);

  void accept_group(Submission submission);
  std::optional<SequenceId> accept_one(Submission submission, std::optional<SequenceId> leader);
  void enqueue(SequenceId id, Submission submission, std::optional<SequenceId> leader);
  ShareId share_of(const std::string& name);
  uint64_t adapter_set_of(const std::vector<AdapterUse>& adapters);
  PromptSpace space_of(const Request& request);
  void sweep();
  void run_step(StepTurn::Held& turn);
  Status run_model();
  void consume_rows(const PlannedSequence& planned, std::span<float> rows);
  Status take_prompt_logprob(Live& live, std::span<const float> row, int64_t position);
  void finish_prompt(LiveMap::iterator it, std::span<const float> row);
  std::optional<TokenId> draw(LiveMap::iterator it, std::span<float> row,
                              std::optional<TokenId> guess = {});
  void shift(LiveMap::iterator it);
  void note_token(const Sequence& sequence, bool first, TimePoint time);
  Result<Sample> sample(Sequence& sequence, std::span<float> row);
  // Gives the piece to the reader; false when the sequence ended because the reader is too slow.
  bool deliver(LiveMap::iterator it, Event piece);
  void leave(SequenceId id);
  void finish(LiveMap::iterator it, FinishReason reason);
  void fail(LiveMap::iterator it, const Error& error);
  void fail_step(const Error& error);
  void fail_for_memory(LiveMap::iterator it) noexcept;
  void fail_all_for_memory() noexcept;

  StepRunner* runner_;
  StoreWorker* store_;
  Speculator* speculator_;
  StepTurn* turn_;
  std::map<uint64_t, Loading> loading_;  // by ticket
  std::deque<Saving> saving_;
  uint64_t last_ticket_ = 0;
  int64_t n_vocab_;
  Scheduler scheduler_;
  Sampler sampler_;
  BatchBuilder builder_;
  std::vector<BatchSource> sources_;
  std::vector<float> logits_;    // [max_step_outputs, n_vocab]
  std::vector<float> row_copy_;  // [n_vocab], for siblings
  StepCostMeter meter_;
  double mean_answer_ = 64;  // tokens; moves with each answer
  std::map<std::string, ShareId, std::less<>> shares_;
  std::map<std::vector<AdapterUse>, uint64_t> adapter_sets_;  // numbers from 1 on
  uint64_t last_adapter_set_ = 0;
  LiveMap live_;
  StepPlan plan_;  // of the step that is running, or was made last
  std::vector<Speculator::Stream> streams_;
  CoreCounters counters_;
  LatencyMeter latency_;
  grammar::MaskWorker mask_worker_;
  std::optional<Error> broken_;
  SequenceId last_id_ = 0;
};

}  // namespace quern::engine
