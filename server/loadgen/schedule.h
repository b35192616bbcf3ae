// When requests are to start in an open loop: a function of rate, kind and seed alone, whatever the
// server does. That is why no slow answer can hide itself (coordinated omission).
#pragma once

#include <cstdint>

#include "server/loadgen/draws.h"

namespace quern::loadgen {

enum class ArrivalKind : uint8_t { kPoisson, kFixed };

class Schedule {
 public:
  // `rate`: requests per second, more than 0.
  Schedule(ArrivalKind kind, double rate, uint64_t seed);

  // Seconds after the beginning at which the next request is to start.
  double next() const { return next_; }
  void advance();

 private:
  ArrivalKind kind_;
  double rate_;
  Draws draws_;
  uint64_t index_ = 0;
  double next_ = 0;
};

}  // namespace quern::loadgen
