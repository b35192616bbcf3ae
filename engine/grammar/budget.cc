// The meter: looks at clock and stop flag once per kInterval units.
#include "engine/grammar/budget.h"

namespace quern::grammar {

Status Budget::spend(uint64_t units) {
  constexpr uint64_t kInterval = 4096;
  if (!state_.ok()) return state_;
  unchecked_ += units;
  if (unchecked_ < kInterval) return ok_status();
  unchecked_ = 0;
  if (stop_ && stop_()) {
    state_ = Error(ErrorKind::kCancelled, "compiling the grammar was cancelled");
  } else if (Clock::now() > deadline_) {
    state_ = Error(ErrorKind::kInvalidInput,
                   "compiling the grammar takes too long; make the grammar or schema smaller");
  }
  return state_;
}

Error over_limit(std::string_view what, uint64_t needed, uint64_t limit, std::string_view advice) {
  return Error(ErrorKind::kInvalidInput, std::string(what) + ": " + std::to_string(needed) +
                                             " needed, " + std::to_string(limit) + " allowed; " +
                                             std::string(advice));
}

}  // namespace quern::grammar
