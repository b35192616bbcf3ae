// A fixed set of threads that share loops: parallel_for() splits [0, n_items) over them and returns
// when all of it has run.
//
// The caller works too and never waits for a thread that has not woken up yet. Threads that find no
// work spin for some microseconds (the gap between two operations of a step) and then sleep in the
// kernel. Owned by whoever made it, never global. Invariant: outside parallel_for() no thread
// touches a job.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace quern {

class ThreadPool {
 public:
  // `n_threads` counts the caller: 1 starts no thread and runs everything inline.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls body(begin, end, worker) for pieces of at most `grain` items that together cover
  // [0, n_items), each item once, in no order. `worker` is below n_threads() and differs between
  // calls that run at the same time. Pieces are taken from a shared counter, so slow threads take
  // fewer. One job at a time: call from one thread, never from inside a body.
  template <typename Body>
  void parallel_for(int64_t n_items, int64_t grain, Body&& body) {
    if (n_items <= 0) return;
    if (threads_.empty() || n_items <= grain) {
      body(int64_t{0}, n_items, 0);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    run(n_items, grain, const_cast<void*>(static_cast<const void*>(&body)),
        [](void* context, int64_t begin, int64_t end, int worker) {
          (*static_cast<Plain*>(context))(begin, end, worker);
        });
  }

 private:
  using Call = void (*)(void* context, int64_t begin, int64_t end, int worker);

  void run(int64_t n_items, int64_t grain, void* context, Call call);
  void work(int worker);
  void worker_main(int worker);
  bool try_join(uint32_t state);
  void leave();

  // One word decides everything: bits 17 and up count jobs, bit 16 is set while a job may be
  // joined, the low 16 bits count the threads inside it.
  std::atomic<uint32_t> state_{0};
  std::atomic<bool> stopping_{false};

  // The job; written by run() while nobody is inside.
  void* context_ = nullptr;
  Call call_ = nullptr;
  int64_t n_items_ = 0;
  int64_t grain_ = 1;
  alignas(64) std::atomic<int64_t> next_{0};

  std::vector<std::thread> threads_;
};

}  // namespace quern
