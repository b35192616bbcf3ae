// See acceptance.h.
#include "engine/speculate/acceptance.h"

namespace quern::engine {

void Acceptance::note(int kind, int32_t n_accepted, bool rejected) {
  double& rate = rates_[static_cast<size_t>(kind)];
  for (int32_t i = 0; i < n_accepted; ++i) rate += weight_ * (1 - rate);
  if (rejected) rate -= weight_ * rate;
  known_[static_cast<size_t>(kind)] |= rejected || n_accepted > 0;
}

}  // namespace quern::engine
