// The engine: one thread that owns scheduler, pages and sequences and turns requests into events.
//
// Other threads talk to it through a bounded inbox (submit) and per-request event queues (Stream).
// Every accepted request ends with exactly one kFinished or kFailed event.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "config/base/result.h"
#include "engine/types/request.h"
#include "kernels/backend/backend.h"
#include "models/loader/model.h"

namespace quern::engine {

struct EngineOptions {
  int64_t context_tokens = 0;   // per sequence; 0: the model's trained context
  int32_t max_sequences = 8;    // running at once
  int32_t max_queued = 512;     // waiting; more is kBusy
  int32_t max_step_tokens = 256;  // prompt chunk and batch bound of one step
  uint64_t kv_bytes = 0;        // 0: room for max_sequences full contexts, bounded by memory
  ops::KvFormat kv_format = ops::KvFormat::kF16;
};

struct EngineStats {
  int32_t running = 0;
  int32_t queued = 0;
  int32_t kv_pages_total = 0;
  int32_t kv_pages_used = 0;
  uint64_t requests_accepted = 0;
  uint64_t requests_finished = 0;
  uint64_t requests_failed = 0;
  uint64_t requests_cancelled = 0;
  uint64_t prompt_tokens = 0;
  uint64_t completion_tokens = 0;
  uint64_t steps = 0;
};

// The receiving end of one request. Destroying it cancels the request; the engine frees the
// sequence within one step.
class Stream {
 public:
  virtual ~Stream() = default;
  // The next event, or nothing when none came within `timeout`. After a kFinished or kFailed event
  // there are no more.
  virtual std::optional<Event> next(std::chrono::milliseconds timeout) = 0;
  virtual void cancel() = 0;
};

class Engine {
 public:
  // Starts the engine thread. `backend` and `model` must outlive the engine; the backend is used by
  // the engine thread only from here on.
  static Result<std::unique_ptr<Engine>> create(std::shared_ptr<const loader::Model> model,
                                                backend::Backend& backend,
                                                const EngineOptions& options);
  virtual ~Engine() = default;

  // Errors: kBusy (queue full, draining), kContextOverflow (with both counts), kInvalidInput.
  virtual Result<std::unique_ptr<Stream>> submit(Request request) = 0;
  virtual EngineStats stats() const = 0;
  virtual const loader::Model& model() const = 0;
  virtual int64_t context_tokens() const = 0;
  virtual uint64_t kv_bytes() const = 0;
  // Accepts nothing more; running and queued requests finish until `deadline`, then fail.
  virtual void drain(std::chrono::steady_clock::time_point deadline) = 0;
};

}  // namespace quern::engine
