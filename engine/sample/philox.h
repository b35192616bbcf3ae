// Philox 4x32-10: a counter-based random generator. The value at a counter is a pure function of
// (key, counter), so a draw depends on nothing but its request's seed and its token's position.
//
// Source: Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011;
// constants and known answers as published with Random123 (kat_vectors).
#pragma once

#include <array>
#include <cstdint>

namespace quern::engine {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

constexpr PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) {
  constexpr uint32_t kMultiplier0 = 0xD2511F53U;
  constexpr uint32_t kMultiplier1 = 0xCD9E8D57U;
  constexpr uint32_t kWeyl0 = 0x9E3779B9U;  // golden ratio
  constexpr uint32_t kWeyl1 = 0xBB67AE85U;  // sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{kMultiplier0} * counter[0];
    const uint64_t product1 = uint64_t{kMultiplier1} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

// What a number is drawn for: each purpose has numbers of its own at every position.
enum class DrawLane : uint32_t { kToken = 0, kXtc = 1, kMirostat = 2, kNextSeed = 3 };

constexpr uint64_t bits_at(uint64_t seed, uint64_t position, DrawLane lane) {
  const PhiloxCounter bits =
      philox4x32_10({static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32),
                     static_cast<uint32_t>(lane), 0},
                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return (uint64_t{bits[0]} << 32) | bits[1];
}

// A number in [0, 1) with 53 random bits.
constexpr double uniform_at(uint64_t seed, uint64_t position, DrawLane lane) {
  return static_cast<double>(bits_at(seed, position, lane) >> 11) * 0x1p-53;
}

// The seed that a sequence goes on with after a context shift, when its positions come again.
constexpr uint64_t next_seed(uint64_t seed) { return bits_at(seed, 0, DrawLane::kNextSeed); }

}  // namespace quern::engine
