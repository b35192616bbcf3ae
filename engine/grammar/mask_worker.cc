// Queue and thread.
#include "engine/grammar/mask_worker.h"

#include <system_error>
#include <utility>

namespace quern::grammar {

MaskWorker::~MaskWorker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool MaskWorker::start() {
  if (thread_.joinable()) return true;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    return false;
  }
  return true;
}

std::future<std::shared_ptr<const TokenMask>> MaskWorker::submit(
    std::function<std::shared_ptr<const TokenMask>()> job) {
  Job task(std::move(job));
  auto result = task.get_future();
  if (!start()) {
    task();
    return result;
  }
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(task));
  }
  wake_.notify_one();
  return result;
}

void MaskWorker::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

}  // namespace quern::grammar
