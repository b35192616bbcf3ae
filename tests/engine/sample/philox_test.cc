// Philox against the known answers published with Random123 1.14 (tests/kat_vectors).
#include "engine/sample/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace quern::engine {
namespace {

TEST(Philox, PublishedKnownAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      philox4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, EverySeedBitPositionBitAndLaneMatters) {
  std::set<double> seen{uniform_at(0, 0, DrawLane::kToken)};
  for (int bit = 0; bit < 64; ++bit) {
    seen.insert(uniform_at(uint64_t{1} << bit, 0, DrawLane::kToken));
    seen.insert(uniform_at(0, uint64_t{1} << bit, DrawLane::kToken));
  }
  seen.insert(uniform_at(0, 0, DrawLane::kXtc));
  EXPECT_EQ(seen.size(), 130U);
}

TEST(Philox, UniformFillsTheUnitInterval) {
  int bins[16] = {};
  for (uint64_t position = 0; position < 16000; ++position) {
    const double u = uniform_at(7, position, DrawLane::kToken);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++bins[static_cast<int>(u * 16)];
  }
  for (const int count : bins) EXPECT_NEAR(count, 1000, 150);
}

}  // namespace
}  // namespace quern::engine
