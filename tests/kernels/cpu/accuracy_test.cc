// The oracle itself against double precision: products with dequantized weights, within the error
// that 8-bit activations allow.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/kernels/cpu/kernel_fixture.h"

namespace quern::cpu_tests {
namespace {

struct Agreement {
  double relative_error;  // root of (sum of squared errors / sum of squares)
};

Agreement compare(const formats::FormatInfo& format, float bias_value) {
  constexpr int64_t kIn = 1024;
  constexpr int64_t kOut = 64;
  constexpr int64_t kRows = 4;
  const RandomWeight weight(format, kOut, kIn, 11);
  const auto w = weight.decoded();
  Random random(12);
  const auto x = random.normals(kIn * kRows);
  const std::vector<float> bias(kOut, bias_value);
  auto oracle = make_backend("scalar");
  auto loaded = oracle->load_weight(weight.view(), "w");
  CHECK(loaded.ok());
  const auto y = multiply(*oracle, **loaded, x, kRows, bias);
  double error = 0;
  double power = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t o = 0; o < kOut; ++o) {
      double exact = bias_value;
      for (int64_t i = 0; i < kIn; ++i) {
        exact += double{x[static_cast<size_t>(r * kIn + i)]} * w[static_cast<size_t>(o * kIn + i)];
      }
      const double difference = y[static_cast<size_t>(r * kOut + o)] - exact;
      error += difference * difference;
      power += (exact - bias_value) * (exact - bias_value);
    }
  }
  return {std::sqrt(error / power)};
}

TEST(Accuracy, FloatFormatsAreAlmostExact) {
  for (const formats::FormatInfo* format : weight_formats()) {
    if (format->quantized()) continue;
    EXPECT_LT(compare(*format, 0.5F).relative_error, 1e-6) << format->name;
  }
}

TEST(Accuracy, QuantizedFormatsLoseOnlyTheActivationsPrecision) {
  for (const formats::FormatInfo* format : weight_formats()) {
    if (!format->quantized()) continue;
    // Rounding a block of 32 normal values to 127 steps of its peak: about 0.4 % of the values'
    // power, and the errors of 1024 terms add up like the terms themselves. Formats with a minimum
    // have a common part that x averages out, which leaves less signal.
    const double limit = format->has_min ? 0.02 : 0.01;
    EXPECT_LT(compare(*format, 0.25F).relative_error, limit) << format->name;
  }
}

}  // namespace
}  // namespace quern::cpu_tests
