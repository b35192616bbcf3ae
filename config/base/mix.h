// splitmix64 (Steele, Lea, Flood 2014): a well-mixed number for each input.
#pragma once

#include <cstdint>

namespace quern {

inline uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace quern
