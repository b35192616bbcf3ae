// Random numbers that are the same on every machine for the same seed.
//
// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
// The distributions of <random> are left out because each standard library has its own.
#pragma once

#include <cmath>
#include <cstdint>

namespace quern::loadgen {

class Draws {
 public:
  // A stream of its own for each pair.
  Draws(uint64_t seed, uint64_t index) : state_(seed) { state_ = next() ^ (index * kGamma); }

  uint64_t next() {
    state_ += kGamma;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  // From 0 to bound - 1; the bias is below bound / 2^64.
  uint64_t below(uint64_t bound) { return next() % bound; }
  // In (0, 1].
  double unit() { return (static_cast<double>(next() >> 11) + 1) / 9007199254740992.0; }
  // Exponentially distributed with this mean.
  double exponential(double mean) { return -mean * std::log(unit()); }

 private:
  static constexpr uint64_t kGamma = 0x9E3779B97F4A7C15ULL;
  uint64_t state_;
};

}  // namespace quern::loadgen
