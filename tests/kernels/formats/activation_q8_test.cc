// Activation quantizer: the written rule on ordinary blocks, and its edges.
#include "kernels/formats/activation_q8.h"

#include <gtest/gtest.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace quern::formats {
namespace {

struct Quantized {
  std::vector<int8_t> q;
  std::vector<float> d;
  std::vector<int16_t> half_sums;
};

Quantized quantize(const std::vector<float>& x, int block_values = kQ8aValues) {
  const auto n = static_cast<int64_t>(x.size());
  const auto blocks = static_cast<size_t>(activation_blocks(n, block_values));
  const auto values = static_cast<size_t>(block_values);
  Quantized out{std::vector<int8_t>(values * blocks, 99), std::vector<float>(blocks, 99.0F),
                std::vector<int16_t>(values / 16 * blocks, 99)};
  quantize_activations(x.data(), n, block_values,
                       {out.q.data(), out.d.data(), out.half_sums.data()});
  return out;
}

std::vector<float> block_with(float value, float rest = 0.0F) {
  std::vector<float> x(32, rest);
  x[5] = value;
  return x;
}

TEST(ActivationQ8Test, FollowsTheWrittenRule) {
  constexpr size_t kValues = 32 * 200;
  std::mt19937 generator(3);
  for (const int block_values : {kQ8aValues, kQ8aSuperValues}) {
    const auto n = static_cast<size_t>(block_values);
    for (const float deviation : {1e-25F, 1e-3F, 1.0F, 1e4F, 1e30F}) {
      std::normal_distribution<float> normal(0.0F, deviation);
      std::vector<float> x(kValues);
      for (float& v : x) v = normal(generator);
      const Quantized out = quantize(x, block_values);
      for (size_t b = 0; b < kValues / n; ++b) {
        float amax = 0;
        for (size_t i = 0; i < n; ++i) amax = std::max(amax, std::fabs(x[n * b + i]));
        ASSERT_EQ(out.d[b], amax / 127.0F);
        std::vector<int> sums(n / 16);
        for (size_t i = 0; i < n; ++i) {
          const float scaled = x[n * b + i] * (127.0F / amax);
          ASSERT_EQ(float(out.q[n * b + i]), std::nearbyintf(scaled));
          sums[i / 16] += out.q[n * b + i];
        }
        for (size_t h = 0; h < sums.size(); ++h) ASSERT_EQ(out.half_sums[n / 16 * b + h], sums[h]);
      }
    }
  }
}

TEST(ActivationQ8Test, TiesGoToEven) {
  std::vector<float> x(32, 0.0F);
  x[0] = 127.0F;  // inverse is exactly 1
  const float values[] = {0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, 0.49999997F, 126.5F, -126.5F};
  const int expected[] = {0, 2, 2, 0, -2, -2, 0, 126, -126};
  for (size_t i = 0; i < std::size(values); ++i) x[i + 1] = values[i];
  const Quantized out = quantize(x);
  EXPECT_EQ(out.d[0], 1.0F);
  for (size_t i = 0; i < std::size(values); ++i) EXPECT_EQ(out.q[i + 1], expected[i]) << values[i];
}

TEST(ActivationQ8Test, CodesNeverLeaveThePlusMinus127Range) {
  std::mt19937 generator(4);
  for (int repeat = 0; repeat < 20000; ++repeat) {
    // Any finite positive amax at or above the threshold.
    const uint32_t bits =
        0x0D800000U + static_cast<uint32_t>(generator() % (0x7F800000U - 0x0D800000U));
    const float amax = std::bit_cast<float>(bits);
    ASSERT_GE(amax, kQ8aTiny);
    const Quantized out = quantize(block_with(-amax));
    ASSERT_EQ(out.q[5], -127) << amax;
    ASSERT_TRUE(std::isnormal(out.d[0])) << amax;
  }
}

TEST(ActivationQ8Test, ZeroAndTinyBlocksAreZero) {
  const float denormal = std::numeric_limits<float>::denorm_min();
  const float below = std::nextafterf(kQ8aTiny, 0.0F);
  for (const float value : {0.0F, -0.0F, denormal, -denormal, 0x1p-126F, below, -below}) {
    const Quantized out = quantize(block_with(value));
    EXPECT_EQ(std::bit_cast<uint32_t>(out.d[0]), 0U) << value;
    for (const int8_t q : out.q) EXPECT_EQ(q, 0);
    EXPECT_EQ(out.half_sums[0], 0);
    EXPECT_EQ(out.half_sums[1], 0);
  }
  const Quantized at_threshold = quantize(block_with(kQ8aTiny));
  EXPECT_EQ(at_threshold.q[5], 127);
  EXPECT_GT(at_threshold.d[0], 0.0F);
}

TEST(ActivationQ8Test, SubnormalsBesideATinyPeakRoundToZero) {
  const Quantized out = quantize(block_with(kQ8aTiny, 0x1.FFFFFEp-127F));
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(out.q[i], i == 5 ? 127 : 0);
}

TEST(ActivationQ8Test, NonFiniteBlocksBecomeNan) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float value : {inf, -inf, nan, -nan, std::bit_cast<float>(0x7F800001U)}) {
    std::vector<float> x = block_with(value, 3.0F);
    x.resize(64, 2.0F);
    const Quantized out = quantize(x);
    EXPECT_EQ(std::bit_cast<uint32_t>(out.d[0]), 0x7FC00000U);
    for (size_t i = 0; i < 32; ++i) EXPECT_EQ(out.q[i], 0);
    EXPECT_EQ(out.half_sums[0], 0);
    EXPECT_EQ(out.half_sums[1], 0);
    EXPECT_EQ(out.q[32], 127) << "the next block is not touched";
  }
}

TEST(ActivationQ8Test, HugeFiniteBlocksStayFinite) {
  const Quantized out = quantize(block_with(std::numeric_limits<float>::max(), 1.0F));
  EXPECT_EQ(out.q[5], 127);
  EXPECT_TRUE(std::isfinite(out.d[0]));
}

TEST(ActivationQ8Test, TailsArePaddedWithZeros) {
  for (size_t n = 0; n <= 70; ++n) {
    std::vector<float> x(n, 1.0F);  // exactly n long: the sanitizer sees reads past the end
    const Quantized out = quantize(x);
    ASSERT_EQ(out.q.size(), (n + 31) / 32 * 32);
    for (size_t i = 0; i < out.q.size(); ++i) ASSERT_EQ(out.q[i], i < n ? 127 : 0);
    for (size_t h = 0; h < out.half_sums.size(); ++h) {
      const size_t in_half = n <= 16 * h ? 0 : std::min<size_t>(16, n - 16 * h);
      ASSERT_EQ(out.half_sums[h], static_cast<int>(127 * in_half));
    }
  }
}

}  // namespace
}  // namespace quern::formats
