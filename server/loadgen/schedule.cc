#include "server/loadgen/schedule.h"

#include "config/base/check.h"

namespace quern::loadgen {
namespace {

constexpr uint64_t kArrivals = ~uint64_t{0};  // a stream of draws that no request has

}  // namespace

Schedule::Schedule(ArrivalKind kind, double rate, uint64_t seed)
    : kind_(kind), rate_(rate), draws_(seed, kArrivals) {
  CHECK(rate > 0);
  if (kind_ == ArrivalKind::kPoisson) next_ = draws_.exponential(1 / rate_);
}

void Schedule::advance() {
  ++index_;
  // Not summed up in the fixed case, so that rounding does not add up.
  next_ = kind_ == ArrivalKind::kFixed ? static_cast<double>(index_) / rate_
                                       : next_ + draws_.exponential(1 / rate_);
}

}  // namespace quern::loadgen
