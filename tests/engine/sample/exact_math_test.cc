// exact_exp and exact_log: accuracy against the C library, and frozen bits.
#include "engine/sample/exact_math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace quern::engine {
namespace {

TEST(ExactMath, ExpIsWithinFourUlpOfTheCLibrary) {
  for (double x = 0; x >= -700; x -= 0.0137) {
    const double expected = std::exp(x);
    EXPECT_NEAR(exact_exp(x) / expected, 1.0, 4e-16) << x;
  }
  EXPECT_EQ(exact_exp(0), 1.0);
  EXPECT_EQ(exact_exp(-700.5), 0.0);
  EXPECT_EQ(exact_exp(-INFINITY), 0.0);
}

TEST(ExactMath, LogIsCloseToTheCLibrary) {
  for (double x = 1e-6; x < 1e12; x *= 1.0173) {
    const double expected = std::log(x);
    EXPECT_NEAR(exact_log(x), expected, 4e-16 * std::max(1.0, std::fabs(expected))) << x;
  }
  EXPECT_EQ(exact_log(1.0), 0.0);
}

// The same on every machine: one digest over many results.
TEST(ExactMath, BitsAreFrozen) {
  uint64_t digest = 0;
  for (int i = 0; i < 10000; ++i) {
    digest = digest * 0x9E3779B97F4A7C15ULL + std::bit_cast<uint64_t>(exact_exp(-0.0691 * i));
    digest = digest * 0x9E3779B97F4A7C15ULL + std::bit_cast<uint64_t>(exact_log(0.5 + 1.37 * i));
  }
  EXPECT_EQ(digest, 3983932906528167592U);
}

}  // namespace
}  // namespace quern::engine
