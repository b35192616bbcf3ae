// One thread that computes masks while the model computes the next step.
//
// Started on the first job. Results do not depend on it: whoever needs a mask waits for its job, or
// computes it himself.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/grammar/token_mask.h"

namespace quern::grammar {

class MaskWorker {
 public:
  using Job = std::packaged_task<std::shared_ptr<const TokenMask>()>;

  MaskWorker() = default;
  // Finishes what was submitted.
  ~MaskWorker();
  MaskWorker(const MaskWorker&) = delete;
  MaskWorker& operator=(const MaskWorker&) = delete;

  // An exception of the job (memory running out) comes out of the future. When no thread can be
  // had, the job runs here.
  std::future<std::shared_ptr<const TokenMask>> submit(
      std::function<std::shared_ptr<const TokenMask>()> job);

 private:
  void run();
  bool start();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace quern::grammar
