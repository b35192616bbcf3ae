// Argument reduction and series for exact_math.h; every operation rounds once, in the order
// written.
#include "engine/sample/exact_math.h"

#include <bit>
#include <cstdint>

namespace quern::engine {
namespace {

constexpr double kLog2E = 0x1.71547652b82fep0;
// ln 2 in two parts; the upper has 21 trailing zero bits, so k * kLn2Hi is exact for |k| < 2^21.
constexpr double kLn2Hi = 0x1.62e42feep-1;
constexpr double kLn2Lo = 0x1.a39ef35793c76p-33;
// Adding it rounds a small double to an integer, which then sits in the low bits.
constexpr double kRoundMagic = 0x1.8p52;

}  // namespace

double exact_exp(double x) {
  if (!(x >= -700.0)) return 0.0;
  const double shifted = x * kLog2E + kRoundMagic;
  const double k = shifted - kRoundMagic;
  const double r = (x - k * kLn2Hi) - k * kLn2Lo;  // |r| <= ln(2)/2
  // Taylor series; the first term left out is below 2e-17.
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const auto exponent = static_cast<int64_t>(k) + 1023;
  return p * std::bit_cast<double>(static_cast<uint64_t>(exponent) << 52);
}

double exact_log(double x) {
  constexpr uint64_t kMantissaMask = (uint64_t{1} << 52) - 1;
  constexpr double kSqrt2 = 0x1.6a09e667f3bcdp0;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  auto exponent = static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & kMantissaMask) | (uint64_t{1023} << 52));
  if (m > kSqrt2) {
    m *= 0.5;
    ++exponent;
  }
  // log m = 2 atanh(f), f = (m - 1) / (m + 1), |f| <= 0.1716.
  const double f = (m - 1.0) / (m + 1.0);
  const double f2 = f * f;
  double p = 1.0 / 21.0;
  p = p * f2 + 1.0 / 19.0;
  p = p * f2 + 1.0 / 17.0;
  p = p * f2 + 1.0 / 15.0;
  p = p * f2 + 1.0 / 13.0;
  p = p * f2 + 1.0 / 11.0;
  p = p * f2 + 1.0 / 9.0;
  p = p * f2 + 1.0 / 7.0;
  p = p * f2 + 1.0 / 5.0;
  p = p * f2 + 1.0 / 3.0;
  const double k = static_cast<double>(exponent);
  const double log_m = 2.0 * f + (2.0 * f) * (f2 * p);
  return k * kLn2Hi + (log_m + k * kLn2Lo);
}

}  // namespace quern::engine
