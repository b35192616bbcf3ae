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
#include <functional>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace quern {

class ThreadPool {
 public:
  // `n_threads` counts the caller: 1 starts no thread and runs everything inline. Each thread that
  // is started calls start(worker) first, if there is one; not the caller, worker 0.
  explicit ThreadPool(int n_threads, std::function<void(int worker)> start = nullptr);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls body(begin, end, worker) for pieces of at most `grain` items that together cover
  // [0, n_items), each item once, in no order. `worker` is below n_threads() and differs between
  // calls that run at the same time. Each worker goes through a range of its own, in order, and
  // then helps with what is left of the others', so slow threads do less. Ranges depend on n_items
  // and grain only: a worker meets the same memory again in the next loop of the same size. One job
  // at a time: call from one thread, never from inside a body.
  template <typename Body>
  void parallel_for(int64_t n_items, int64_t grain, Body&& body) {
    if (n_items <= 0) return;
    if (threads_.empty() || n_items <= grain) {
      ranges_[0].end = n_items;
      body(int64_t{0}, n_items, 0);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    run(n_items, grain, const_cast<void*>(static_cast<const void*>(&body)),
        [](void* context, int64_t begin, int64_t end, int worker) {
          (*static_cast<Plain*>(context))(begin, end, worker);
        });
  }

  // Inside a body: the end of the worker's own range. A piece that ends before it is followed by
  // the next one, as a rule.
  int64_t range_end(int worker) const { return ranges_[static_cast<size_t>(worker)].end; }

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
  int64_t grain_ = 1;
  struct alignas(64) Range {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::unique_ptr<Range[]> ranges_;  // one per thread

  std::vector<std::thread> threads_;
};

}  // namespace quern
