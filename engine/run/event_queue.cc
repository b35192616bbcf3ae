// Coalescing queue: see event_queue.h.
#include "engine/run/event_queue.h"

#include <iterator>
#include <utility>

namespace quern::engine {
namespace {

// Estimate of what a waiting piece keeps in memory. The prompt's log-probabilities come once and
// are bounded by the prompt, so they do not count against the reader.
size_t bytes_of(const Event& event) {
  size_t bytes = event.text.size() + event.tokens.size() * sizeof(TokenId);
  for (const TokenLogprob& one : event.logprobs) {
    bytes += sizeof(TokenLogprob) + one.top.size() * sizeof(one.top[0]);
  }
  return bytes;
}

template <typename T>
void append(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

void join(Event& last, Event& more) {
  last.text += more.text;
  append(last.tokens, more.tokens);
  append(last.logprobs, more.logprobs);
  append(last.prompt_logprobs, more.prompt_logprobs);
}

}  // namespace

bool EventQueue::push(Event event) {
  const bool is_text = event.kind == Event::Kind::kText;
  {
    const std::lock_guard lock(mutex_);
    if (is_text) {
      const size_t bytes = bytes_of(event);
      if (pending_bytes_ + bytes > max_pending_bytes_) return false;
      pending_bytes_ += bytes;
    }
    if (is_text && events_.size() >= kMaxEvents && events_.back().kind == Event::Kind::kText) {
      join(events_.back(), event);
    } else {
      events_.push_back(std::move(event));
    }
  }
  arrived_.notify_one();
  return true;
}

void EventQueue::fail_out_of_memory() noexcept {
  {
    const std::lock_guard lock(mutex_);
    out_of_memory_ = true;
  }
  arrived_.notify_one();
}

std::optional<Event> EventQueue::next(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return !events_.empty() || out_of_memory_; };
  if (!arrived_.wait_for(lock, timeout, ready)) return std::nullopt;
  Event event;
  if (events_.empty()) {
    out_of_memory_ = false;
    event.kind = Event::Kind::kFailed;
    event.error = Error(ErrorKind::kOutOfMemory,
                        "memory ran out while this request ran; retry when less is running");
    return event;
  }
  event = std::move(events_.front());
  events_.pop_front();
  if (event.kind == Event::Kind::kText) pending_bytes_ -= bytes_of(event);
  return event;
}

}  // namespace quern::engine
