// Threads that answer requests: started when needed, bounded in number, with a small queue before
// them.
//
// Leaves connections to its callers. Invariant: a task accepted by submit() is run exactly once,
// also when the pool is stopped.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

namespace quern::http {

class WorkerPool {
 public:
  using Task = std::function<void()>;

  WorkerPool(int max_threads, int max_waiting, size_t stack_bytes)
      : max_threads_(max_threads), max_waiting_(max_waiting), stack_bytes_(stack_bytes) {}
  ~WorkerPool() { stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False when all threads are busy and the queue is full, or the pool is stopping.
  bool submit(Task task);
  // Runs what is queued, then ends the threads and waits for them.
  void stop();
  // Tasks running or queued.
  int load() const;

 private:
  static void* thread_main(void* self);
  void run();
  bool start_thread();

  const int max_threads_;
  const int max_waiting_;
  const size_t stack_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Task> tasks_;
  std::vector<pthread_t> threads_;
  int idle_ = 0;
  int running_ = 0;
  bool stopping_ = false;
};

}  // namespace quern::http
