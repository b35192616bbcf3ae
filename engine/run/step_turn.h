// Engines of one process compute in turns, a step each, so that two models that are busy at once do
// not fight over the processor's cores.
//
// First come, first served: an engine that asks again right after its step stands behind those that
// wait, so none is starved and each waits for at most one step of every other. A step's drafts
// belong to it; drawing and delivery overlap with the steps of others. What a step waits counts as
// its time where gaps are bounded (StepCostMeter), so prompts are cut into smaller chunks beside
// another busy model; it does not count in a model's own speed (SpeedMeter). Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace quern::engine {

class StepTurn {
 public:
  // Waits for the turn and holds it. A null turn is always free.
  class Held {
   public:
    explicit Held(StepTurn* turn);
    ~Held() { release(); }
    // Early; the destructor does nothing then.
    void release();
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    StepTurn* turn_;
  };

 private:
  void take();
  void give();

  std::mutex mutex_;
  std::condition_variable passed_;
  uint64_t next_ticket_ = 0;
  uint64_t serving_ = 0;
};

}  // namespace quern::engine
