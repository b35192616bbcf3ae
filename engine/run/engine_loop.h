// The engine's thread and its inbox. Knows requests and a StepRunner, but no model file: the public
// Engine adds that.
//
// Locking: mutex_ guards inbox_, stats_, waiting_by_share_ and the shutdown flags; core_ belongs to
// the thread. The thread sleeps on a condition variable while there is nothing to do.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "config/base/result.h"
#include "engine/run/admission.h"
#include "engine/run/engine_core.h"
#include "engine/types/stream.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::engine {

struct LoopOptions {
  Budget budget;
  AdmissionLimits limits;
  int32_t max_queued = 512;
  int32_t max_queued_per_share = 0;          // 0: max_queued
  uint64_t kv_page_bytes = 0;                // for stats
  uint64_t draft_kv_bytes = 0;               // for stats
  std::shared_ptr<StepTurn> turn = nullptr;  // null: steps never wait
  // What each adapter's file holds, for names on disk; without it prompts computed with an adapter
  // are not kept there.
  std::vector<std::optional<Digest>> adapter_digests = {};
  // Text that may wait for one slow reader.
  size_t max_pending_bytes = size_t{4} << 20;
};

class EngineLoop {
 public:
  // Starts the thread. `tokenizer` must outlive the loop.
  // `store`, where computed prompts outlive the process, and `speculator` may be null.
  static Result<std::unique_ptr<EngineLoop>> start(
      std::unique_ptr<StepRunner> runner, const tokenizer::Tokenizer& tokenizer,
      const LoopOptions& options, std::unique_ptr<StoreWorker> store = nullptr,
      std::unique_ptr<Speculator> speculator = nullptr);
  // Fails what is left and joins the thread.
  ~EngineLoop();
  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;

  // As in Engine. Thread-safe.
  Result<std::unique_ptr<Stream>> submit(Request request);
  Result<std::vector<std::unique_ptr<Stream>>> submit_group(std::vector<Request> requests);
  bool share_is_full(std::string_view share) const;
  EngineStats stats() const;
  void drain(std::chrono::steady_clock::time_point deadline);

 private:
  EngineLoop(std::unique_ptr<StepRunner> runner, const tokenizer::Tokenizer& tokenizer,
             const LoopOptions& options, std::unique_ptr<StoreWorker> store,
             std::unique_ptr<Speculator> speculator);
  std::vector<Digest> page_names(const Request& request) const;
  Status check_room(const Request& request, int64_t n_sequences) const;
  bool share_is_full_locked(std::string_view share) const;
  void run();
  // One turn of the thread; false when it is to end.
  bool turn();
  void publish_stats();

  const LoopOptions options_;
  const tokenizer::Tokenizer* tokenizer_;
  std::unique_ptr<StepRunner> runner_;
  std::unique_ptr<StoreWorker> store_;  // may be null; its thread calls back, see the destructor
  std::unique_ptr<Speculator> speculator_;  // may be null
  EngineCore core_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;   // the thread waits here for work
  std::condition_variable empty_;  // drain() waits here for the last request to end
  std::vector<Submission> inbox_;
  int64_t n_unpublished_ = 0;  // sequences accepted since stats_ was made
  EngineStats stats_;
  std::map<std::string, int32_t, std::less<>> waiting_by_share_;  // as of the last step
  std::optional<Error> refusal_;  // why nothing is accepted any more
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  bool core_idle_ = true;
  bool core_only_loads_ = false;  // waits for the disk
  bool core_saves_ = false;       // has something for the disk, but no hurry
  bool loaded_ = false;           // the disk has answered
  bool stop_ = false;

  std::thread thread_;
};

}  // namespace quern::engine
