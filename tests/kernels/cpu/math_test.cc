// Error bounds of the kernels' own exp, tanh, SiLU, GELU, sin and cos against long double, over
// every exponent and dense mantissas, and their special values. The scalar vectors are compiled in;
// ops_rows_test.cc shows that the other instruction sets give the same bits.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cpu/vec_scalar.h"
// Keeps its place: written over the vectors above.
#include "kernels/cpu/math-inl.h"

namespace quern::cpu {
namespace {

using Function = Vec (*)(const Vec&);

float apply(Function function, float x) {
  float lanes[kVecLanes];
  v_store(lanes, function(v_set(x)));
  return lanes[7];
}

Vec exp_of(const Vec& x) { return v_exp(x); }
Vec tanh_of(const Vec& x) { return v_tanh(x); }
Vec silu_of(const Vec& x) { return v_silu(x); }
Vec gelu_of(const Vec& x) { return v_gelu_tanh(x); }

// Distance in units of the last place of the exact value (of the smallest normal float below it).
double ulps(float got, long double exact) {
  if (exact == 0) return got == 0 ? 0 : 1e9;
  const int exponent = std::max(std::ilogb(exact), -126);
  return static_cast<double>(std::abs(got - exact) / std::ldexp(1.0L, exponent - 23));
}

// Runs check(x) over floats of both signs with magnitude in [low, high], `step` bit patterns apart.
template <typename Check>
void for_floats(float low, float high, uint32_t step, Check check) {
  for (uint32_t bits = std::bit_cast<uint32_t>(low); bits <= std::bit_cast<uint32_t>(high);
       bits += step) {
    check(std::bit_cast<float>(bits));
    check(-std::bit_cast<float>(bits));
  }
}

TEST(Math, ExpIsWithinItsBound) {
  double worst = 0;
  for_floats(1e-30F, 88.7F, 5003, [&](float x) {
    if (x < -87.33F) return;
    worst = std::max(worst, ulps(apply(exp_of, x), std::exp(static_cast<long double>(x))));
  });
  EXPECT_LT(worst, 1.1) << "units in the last place";
  RecordProperty("worst_ulp_x1000", static_cast<int>(worst * 1000));
}

TEST(Math, ExpAtItsEdges) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(apply(exp_of, 0.0F), 1.0F);
  EXPECT_EQ(apply(exp_of, -0.0F), 1.0F);
  EXPECT_EQ(apply(exp_of, -infinity), 0.0F);
  EXPECT_EQ(apply(exp_of, -87.4F), 0.0F) << "no subnormal results";
  EXPECT_EQ(apply(exp_of, -1e30F), 0.0F);
  EXPECT_EQ(apply(exp_of, infinity), infinity);
  EXPECT_EQ(apply(exp_of, 88.73F), infinity);
  EXPECT_EQ(apply(exp_of, 3e38F), infinity);
  EXPECT_TRUE(std::isfinite(apply(exp_of, 88.72F)));
  EXPECT_TRUE(std::isnan(apply(exp_of, std::numeric_limits<float>::quiet_NaN())));
  EXPECT_EQ(apply(exp_of, 1e-40F), 1.0F);
}

TEST(Math, TanhIsWithinItsBound) {
  double worst = 0;
  for_floats(1e-30F, 20.0F, 5003, [&](float x) {
    worst = std::max(worst, ulps(apply(tanh_of, x), std::tanh(static_cast<long double>(x))));
  });
  EXPECT_LT(worst, 3.0) << "units in the last place";
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(apply(tanh_of, infinity), 1.0F);
  EXPECT_EQ(apply(tanh_of, -infinity), -1.0F);
  EXPECT_EQ(apply(tanh_of, 3e38F), 1.0F);
  EXPECT_EQ(apply(tanh_of, 0.0F), 0.0F);
  EXPECT_TRUE(std::isnan(apply(tanh_of, std::numeric_limits<float>::quiet_NaN())));
}

TEST(Math, SiluAndGeluAreClose) {
  double worst_silu = 0;
  double worst_gelu = 0;
  for_floats(1e-20F, 80.0F, 10007, [&](float x) {
    const auto exact = static_cast<long double>(x);
    const long double silu = exact / (1 + std::exp(-exact));
    worst_silu = std::max(worst_silu, ulps(apply(silu_of, x), silu));
    const long double inner = 0.7978845608028653559L * (exact + 0.044715L * exact * exact * exact);
    // 1 + tanh cancels for negative x, so the error is measured against |x|.
    const long double gelu = 0.5L * exact * (1 + std::tanh(inner));
    const double error = static_cast<double>(std::abs(apply(gelu_of, x) - gelu) / std::abs(exact));
    worst_gelu = std::max(worst_gelu, error);
  });
  EXPECT_LT(worst_silu, 3.0) << "units in the last place";
  EXPECT_LT(worst_gelu, 3.0e-7) << "times |x|";
  for (Function function : {silu_of, gelu_of}) {
    EXPECT_TRUE(std::isnan(apply(function, std::numeric_limits<float>::quiet_NaN())));
    EXPECT_EQ(apply(function, 0.0F), 0.0F);
    EXPECT_EQ(apply(function, 1e10F), 1e10F);
    EXPECT_EQ(apply(function, -1e10F), 0.0F);
  }
}

TEST(Math, SineAndCosineAreAlmostCorrectlyRounded) {
  double worst = 0;
  const auto check = [&](float x) {
    const SinCos got = sin_cos(x);
    const auto exact = static_cast<long double>(x);
    worst = std::max({worst, ulps(got.sine, std::sin(exact)), ulps(got.cosine, std::cos(exact))});
  };
  for_floats(1e-6F, 0x1p27F, 5003, check);
  for (int position = 0; position < 200000; ++position) check(static_cast<float>(position));
  EXPECT_LT(worst, 0.51) << "units in the last place";
  EXPECT_EQ(sin_cos(0.0F).sine, 0.0F);
  EXPECT_EQ(sin_cos(0.0F).cosine, 1.0F);
}

}  // namespace
}  // namespace quern::cpu
