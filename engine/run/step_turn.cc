// A ticket lock that sleeps: there are as many who wait as busy models, so waking all is cheap.
#include "engine/run/step_turn.h"

#include <utility>

namespace quern::engine {

StepTurn::Held::Held(StepTurn* turn) : turn_(turn) {
  if (turn_ != nullptr) turn_->take();
}

void StepTurn::Held::release() {
  if (StepTurn* turn = std::exchange(turn_, nullptr)) turn->give();
}

void StepTurn::take() {
  std::unique_lock lock(mutex_);
  const uint64_t ticket = next_ticket_++;
  passed_.wait(lock, [&] { return serving_ == ticket; });
}

void StepTurn::give() {
  {
    const std::lock_guard lock(mutex_);
    ++serving_;
  }
  passed_.notify_all();
}

}  // namespace quern::engine
