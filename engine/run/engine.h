// The engine: one thread that owns scheduler, pages and sequences and turns requests into events.
//
// Other threads talk to it through a bounded inbox (submit) and per-request event queues (Stream).
// Every accepted request ends with exactly one kFinished or kFailed event.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "config/base/log.h"
#include "config/base/result.h"
#include "config/hardware/profile.h"
#include "engine/run/speculation_options.h"
#include "engine/run/step_turn.h"
#include "engine/types/request.h"
#include "engine/types/stream.h"
#include "kernels/backend/backend.h"
#include "models/loader/adapter.h"
#include "models/loader/model.h"

namespace quern::engine {

struct EngineOptions {
  int64_t context_tokens = 0;     // per sequence; 0: the model's trained context
  int32_t max_sequences = 8;      // running at once
  int32_t max_queued = 512;       // waiting; more is kBusy
  int32_t max_step_tokens = 256;  // prompt chunk and batch bound of one step
  // 0: room for max_sequences full contexts, bounded by memory. With those of a draft model.
  uint64_t kv_bytes = 0;
  int32_t max_queued_per_share = 0;  // waiting for one share; 0: max_queued
  // Of kv_bytes, what computed prompts that nobody uses may hold; they make room when needed.
  uint64_t idle_prompt_bytes = UINT64_MAX;
  // Where computed prompts outlive the process; empty: nowhere. Bounded by bytes.
  std::filesystem::path page_directory;
  uint64_t page_directory_bytes = uint64_t{10} << 30;
  Log log = Log::none();
  int64_t max_gap_ms = 0;  // between tokens of a stream when prompts arrive; 0: see Budget
  ops::KvFormat kv_format = ops::KvFormat::kF16;
  SpeculationOptions speculation;  // off
  hardware::Measured machine;      // what EngineStats::speed is predicted from
  // Shared by the engines of one process; null: this one never waits for another.
  std::shared_ptr<StepTurn> turn = nullptr;
  // Bound to the model by Adapter::load(); Request::adapters counts them.
  std::vector<std::shared_ptr<const loader::Adapter>> adapters = {};
};

class Engine {
 public:
  // Sizes and allocates the KV cache and starts the engine thread. `backend` must outlive the
  // engine and is used by its thread only from here on; the model is shared. Errors: an option out
  // of range, a context beyond the trained one (kInvalidInput), a cache that memory or kv_bytes
  // cannot hold (kOutOfMemory, with the bytes needed). An explicit context is granted or refused;
  // with 0 it is shortened to what one sequence can have, see context_tokens().
  static Result<std::unique_ptr<Engine>> create(std::shared_ptr<const loader::Model> model,
                                                backend::Backend& backend,
                                                const EngineOptions& options);
  virtual ~Engine() = default;

  // Errors: kBusy (queue full, draining), kContextOverflow (with both counts), kInvalidInput; kIo
  // once the model's file has failed under its mapping (load it again). Thread-safe.
  virtual Result<std::unique_ptr<Stream>> submit(Request request) = 0;
  // Several answers to one prompt (equal prompt, share and prompt_logprobs), which is computed
  // once; a stream for each, all or none. Thread-safe.
  virtual Result<std::vector<std::unique_ptr<Stream>>> submit_group(
      std::vector<Request> requests) = 0;
  // Whether kBusy is the fault of this share's own waiting requests. Thread-safe.
  virtual bool share_is_full(std::string_view share) const = 0;
  // As of the end of the last step. Thread-safe.
  virtual EngineStats stats() const = 0;
  virtual const loader::Model& model() const = 0;
  virtual int64_t context_tokens() const = 0;
  virtual uint64_t kv_bytes() const = 0;
  // Accepts nothing more; running and queued requests finish until `deadline`, then fail. Returns
  // when none is left. The destructor does the same with a deadline that has passed.
  virtual void drain(std::chrono::steady_clock::time_point deadline) = 0;
};

}  // namespace quern::engine
