// pthreads rather than std::thread: the stack size is set, and a refused thread is not an
// exception.
#include "server/http/worker_pool.h"

#include <utility>

namespace quern::http {

bool WorkerPool::start_thread() {
  threads_.reserve(threads_.size() + 1);
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_t thread{};
  const bool ok = pthread_attr_setstacksize(&attributes, stack_bytes_) == 0 &&
                  pthread_create(&thread, &attributes, &WorkerPool::thread_main, this) == 0;
  pthread_attr_destroy(&attributes);
  if (ok) threads_.push_back(thread);
  return ok;
}

bool WorkerPool::submit(Task task) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return false;
  const auto waiting = static_cast<int>(tasks_.size());
  if (waiting >= idle_) {
    const bool may_start = static_cast<int>(threads_.size()) < max_threads_;
    const bool started = may_start && start_thread();
    if (!started && (threads_.empty() || waiting >= idle_ + max_waiting_)) return false;
  }
  tasks_.push_back(std::move(task));
  work_.notify_one();
  return true;
}

void* WorkerPool::thread_main(void* self) {
  static_cast<WorkerPool*>(self)->run();
  return nullptr;
}

void WorkerPool::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    work_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    --idle_;
    if (tasks_.empty()) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    ++running_;
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    --running_;
  }
}

void WorkerPool::stop() {
  std::vector<pthread_t> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    work_.notify_all();
  }
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
}

int WorkerPool::load() const {
  const std::lock_guard lock(mutex_);
  return running_ + static_cast<int>(tasks_.size());
}

}  // namespace quern::http
