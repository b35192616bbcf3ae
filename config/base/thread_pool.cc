#include "config/base/thread_pool.h"

#include <algorithm>
#include <chrono>

#include "config/base/check.h"

namespace quern {
namespace {

constexpr uint32_t kInsideMask = 0xFFFF;
constexpr uint32_t kOpen = 1U << 16;
constexpr uint32_t kJobStep = 1U << 17;

// Longer than the serial stretch between two operations of a decode step, short enough that an idle
// server costs nothing.
constexpr std::chrono::microseconds kSpinTime{30};
constexpr int kSpinsPerClockRead = 64;

inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until done(state) or the spin time is over; returns the last state seen.
template <typename Done>
uint32_t spin(const std::atomic<uint32_t>& word, Done done) {
  const auto give_up = std::chrono::steady_clock::now() + kSpinTime;
  for (;;) {
    for (int i = 0; i < kSpinsPerClockRead; ++i) {
      const uint32_t state = word.load(std::memory_order_acquire);
      if (done(state)) return state;
      cpu_relax();
    }
    if (std::chrono::steady_clock::now() >= give_up) return word.load(std::memory_order_acquire);
  }
}

}  // namespace

ThreadPool::ThreadPool(int n_threads, std::function<void(int worker)> start) {
  CHECK(n_threads >= 1 && n_threads < static_cast<int>(kInsideMask));
  ranges_ = std::make_unique<Range[]>(static_cast<size_t>(n_threads));
  threads_.reserve(static_cast<size_t>(n_threads - 1));
  for (int worker = 1; worker < n_threads; ++worker) {
    threads_.emplace_back([this, worker, start] {
      if (start) start(worker);
      worker_main(worker);
    });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_release);
  state_.fetch_add(kJobStep, std::memory_order_release);
  state_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run(int64_t n_items, int64_t grain, void* context, Call call) {
  context_ = context;
  call_ = call;
  grain_ = grain > 0 ? grain : 1;
  const int64_t n_pieces = (n_items + grain_ - 1) / grain_;
  for (int64_t worker = 0; worker < n_threads(); ++worker) {
    Range& range = ranges_[static_cast<size_t>(worker)];
    range.next.store(n_pieces * worker / n_threads() * grain_, std::memory_order_relaxed);
    range.end = std::min(n_items, n_pieces * (worker + 1) / n_threads() * grain_);
  }
  // The release publishes the job to whoever joins.
  state_.fetch_add(kJobStep | kOpen, std::memory_order_release);
  state_.notify_all();
  work(0);
  // Everything is taken: close the door, then wait for those who are still at it.
  uint32_t state = state_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  const auto empty = [](uint32_t s) { return (s & kInsideMask) == 0; };
  if (!empty(state)) state = spin(state_, empty);
  while (!empty(state)) {
    state_.wait(state, std::memory_order_acquire);
    state = state_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int worker) {
  const int64_t grain = grain_;
  for (int i = 0; i < n_threads(); ++i) {
    Range& range = ranges_[static_cast<size_t>((worker + i) % n_threads())];
    const int64_t end = range.end;
    // Looked at first, since threads that find nothing must not fight for the counter.
    while (range.next.load(std::memory_order_relaxed) < end) {
      const int64_t begin = range.next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= end) break;
      call_(context_, begin, std::min(begin + grain, end), worker);
    }
  }
}

bool ThreadPool::try_join(uint32_t state) {
  while ((state & kOpen) != 0) {
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                     std::memory_order_acquire)) {
      return true;
    }
  }
  return false;
}

void ThreadPool::leave() {
  const uint32_t state = state_.fetch_sub(1, std::memory_order_acq_rel) - 1;
  if ((state & (kInsideMask | kOpen)) == 0) state_.notify_all();
}

void ThreadPool::worker_main(int worker) {
  uint32_t seen_job = 0;  // job number of the last job that this thread helped with
  while (!stopping_.load(std::memory_order_acquire)) {
    const auto fresh = [&](uint32_t s) {
      return ((s & kOpen) != 0 && s / kJobStep != seen_job) ||
             stopping_.load(std::memory_order_relaxed);
    };
    uint32_t state = spin(state_, fresh);
    if (!fresh(state)) {
      state_.wait(state, std::memory_order_acquire);
      continue;
    }
    // A job joined late is another job or already empty; both are harmless.
    if (!try_join(state)) continue;
    seen_job = state_.load(std::memory_order_relaxed) / kJobStep;
    work(worker);
    leave();
  }
}

}  // namespace quern
