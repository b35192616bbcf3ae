// Frequency tables against values worked out from the papers' formulas.
#include "models/graph/rope_scaling.h"

#include <gtest/gtest.h>

#include <cmath>

namespace quern::graph {
namespace {

arch::HyperParams plain() {
  arch::HyperParams hyper;
  hyper.head_dim = hyper.n_rot = 8;
  hyper.rope_base = 10000;
  hyper.context_length = hyper.rope_original_context = 1024;
  return hyper;
}

TEST(RopeFrequencies, FallByPowersOfTheBase) {
  const RopeFrequencies rope = rope_frequencies(plain(), {});
  const float expected[] = {1.0F, 0.1F, 0.01F, 0.001F};
  ASSERT_EQ(rope.inverse.size(), 4U);
  for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(rope.inverse[i], expected[i]);
  EXPECT_EQ(rope.magnitude, 1.0F);
}

TEST(RopeFrequencies, LinearScalingDividesAllOfThem) {
  arch::HyperParams hyper = plain();
  hyper.rope_scaling = arch::RopeScaling::kLinear;
  hyper.rope_factor = 4;
  const RopeFrequencies rope = rope_frequencies(hyper, {});
  EXPECT_FLOAT_EQ(rope.inverse[0], 0.25F);
  EXPECT_FLOAT_EQ(rope.inverse[3], 0.00025F);
}

TEST(RopeFrequencies, DivisorsOfTheFileApplyOneByOne) {
  const float divisors[] = {1, 2, 4, 8};
  const RopeFrequencies rope = rope_frequencies(plain(), divisors);
  EXPECT_FLOAT_EQ(rope.inverse[0], 1.0F);
  EXPECT_FLOAT_EQ(rope.inverse[1], 0.05F);
  EXPECT_FLOAT_EQ(rope.inverse[3], 0.000125F);
}

// YaRN keeps the fastest pair, divides the slowest, and raises the magnitude by 0.1 ln(factor).
TEST(RopeFrequencies, YarnInterpolatesOnlySlowPairs) {
  arch::HyperParams hyper = plain();
  hyper.rope_scaling = arch::RopeScaling::kYarn;
  hyper.rope_factor = 4;
  const RopeFrequencies rope = rope_frequencies(hyper, {});
  // Pair index at 32 turns: 8 ln(1024 / 64 pi) / (2 ln 10000) = 0.707, down to 0; at 1 turn: 2.21,
  // up to 3. Shares kept: 1, 2/3, 1/3, 0.
  EXPECT_FLOAT_EQ(rope.inverse[0], 1.0F);
  EXPECT_FLOAT_EQ(rope.inverse[1], 0.1F * (2.0F / 3 + 1.0F / 12));
  EXPECT_FLOAT_EQ(rope.inverse[2], 0.01F * (1.0F / 3 + 1.0F / 6));
  EXPECT_FLOAT_EQ(rope.inverse[3], 0.00025F);
  EXPECT_FLOAT_EQ(rope.magnitude, 1.0F + 0.1F * std::log(4.0F));
}

// A context so short that no pair turns 32 times, and a base near 1: the ramp must stay finite.
TEST(RopeFrequencies, StaysFiniteAtTheEdges) {
  for (const double base : {1.0, 1.0001, 1e12}) {
    for (const int64_t context : {int64_t{1}, int64_t{1} << 24}) {
      arch::HyperParams hyper = plain();
      hyper.rope_base = base;
      hyper.rope_original_context = context;
      hyper.rope_scaling = arch::RopeScaling::kYarn;
      hyper.rope_factor = 1e6;
      for (const float value : rope_frequencies(hyper, {}).inverse) {
        EXPECT_TRUE(std::isfinite(value)) << base << " " << context;
      }
    }
  }
}

}  // namespace
}  // namespace quern::graph
