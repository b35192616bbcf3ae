// The events of one request on their way from the engine thread to its reader.
//
// Bounded: beyond kMaxEvents waiting events, new text joins the last one; beyond a number of bytes
// the reader counts as too slow and push() says so. The engine never waits here. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>

#include "engine/types/request.h"

namespace quern::engine {

class EventQueue {
 public:
  static constexpr size_t kMaxEvents = 64;

  explicit EventQueue(size_t max_pending_bytes) : max_pending_bytes_(max_pending_bytes) {}

  // False when the bytes of waiting text exceed the bound; kFinished and kFailed always fit.
  // Nothing follows a kFinished or kFailed event.
  bool push(Event event);
  // Ends the request without allocating, when memory ran out for a proper event.
  void fail_out_of_memory() noexcept;
  // The next event, or nothing within `timeout`.
  std::optional<Event> next(std::chrono::milliseconds timeout);

  // Set by the reader, looked at by the engine once per step.
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  const size_t max_pending_bytes_;
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Event> events_;
  size_t pending_bytes_ = 0;
  bool out_of_memory_ = false;
};

}  // namespace quern::engine
