// exp, tanh, SiLU, GELU, sin and cos from additions, products, quotients, FMAs and integer
// operations in one fixed order, so that every instruction set gives the same bits.
//
// Coefficients: Chebyshev fits made with mpmath over the stated intervals, rounded to f32; Taylor
// series for sin and cos. The error bounds are checked in tests/kernels/cpu/math_test.cc.
#pragma once

#include "kernels/cpu/vec16-inl.h"

namespace quern::cpu {
namespace {

// e^x within 1.1 units in the last place; 0 below ln(2^-126) (no subnormal results), infinity above
// ln of the largest float, NaN for NaN, exactly 1 for 0.
QUERN_PART Vec v_exp(const Vec& x) {
  const float kSmallest = -87.336540F;  // e^x is still a normal float
  const float kLargest = 89.0F;         // already overflows
  const float kMagic = 0x1.8p23F;       // adding it rounds to an integer in the low bits
  // The operand order keeps NaN.
  const Vec bounded = v_min(v_set(kLargest), v_max(v_set(kSmallest), x));
  // x = n * ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts, the first with 12 zero bits at its end.
  const Vec shifted = v_fma(bounded, v_set(0x1.715476p0F), v_set(kMagic));
  const Vec n = v_sub(shifted, v_set(kMagic));
  Vec r = v_fma(n, v_set(-0x1.62ep-1F), bounded);
  r = v_fma(n, v_set(-0x1.0bfbe8p-15F), r);
  // e^r = 1 + r + r^2 * p(r), |error of p| < 7e-8.
  Vec p = v_fma(v_set(0x1.6d1606p-10F), r, v_set(0x1.12106cp-7F));
  p = v_fma(p, r, v_set(0x1.555516p-5F));
  p = v_fma(p, r, v_set(0x1.5554d8p-3F));
  p = v_fma(p, r, v_set(0.5F));
  p = v_fma(v_mul(r, r), p, r);
  p = v_add(p, v_set(1.0F));
  // 2^n in two factors, because n = 128 has no float.
  const VecI whole = v_sub_int(v_bits(shifted), v_set_int(0x4B400000));
  const VecI half = v_sar<1>(whole);
  const VecI rest = v_sub_int(whole, half);
  const Vec factor = v_from_bits(v_shl<23>(v_add_int(half, v_set_int(127))));
  const Vec other = v_from_bits(v_shl<23>(v_add_int(rest, v_set_int(127))));
  const Vec result = v_mul(v_mul(p, factor), other);
  return v_select(v_less(x, v_set(kSmallest)), v_zero(), result);
}

QUERN_PART Vec v_abs(const Vec& x) { return v_from_bits(v_and(v_bits(x), v_set_int(0x7FFFFFFF))); }

// Within 3 units in the last place; plus or minus 1 at the infinities, NaN for NaN.
QUERN_PART Vec v_tanh(const Vec& x) {
  const Vec a = v_abs(x);
  // |x| < 0.6: x + x^3 p(x^2), |error of p| < 3e-8.
  const Vec z = v_mul(x, x);
  Vec p = v_fma(v_set(-0.0062691197F), z, v_set(0.02111096F));
  p = v_fma(p, z, v_set(-0.05387395F));
  p = v_fma(p, z, v_set(0.13332915F));
  p = v_fma(p, z, v_set(-0.3333333F));
  const Vec small = v_fma(v_mul(p, z), x, x);
  // Otherwise 1 - 2 / (e^(2|x|) + 1) with the sign of x.
  const Vec e = v_exp(v_add(a, a));
  const Vec big = v_sub(v_set(1.0F), v_div(v_set(2.0F), v_add(e, v_set(1.0F))));
  const VecI sign = v_and(v_bits(x), v_set_int(INT32_MIN));
  const Vec signed_big = v_from_bits(v_or(v_bits(big), sign));
  return v_select(v_less(a, v_set(0.6F)), small, signed_big);
}

// x / (1 + e^-x).
QUERN_PART Vec v_silu(const Vec& x) {
  const Vec minus_x = v_from_bits(v_sub_int(v_bits(x), v_set_int(INT32_MIN)));
  return v_div(x, v_add(v_set(1.0F), v_exp(minus_x)));
}

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), the tanh form of Hendrycks and Gimpel,
// "Gaussian Error Linear Units" (2016).
QUERN_PART Vec v_gelu_tanh(const Vec& x) {
  const Vec cube = v_mul(v_mul(x, x), x);
  const Vec inner = v_mul(v_set(0.797884560F), v_fma(v_set(0.044715F), cube, x));
  const Vec one_plus = v_add(v_set(1.0F), v_tanh(inner));
  return v_mul(v_mul(v_set(0.5F), x), one_plus);
}

struct SinCos {
  float sine;
  float cosine;
};

// Both correct to 0.51 units in the last place for |angle| <= 2^27 (a position
// below 2^27 times a frequency of at most 1). Beyond, and for NaN, no accuracy is promised.
QUERN_PART SinCos sin_cos(float angle) {
  const double kMagic = 0x1.8p52;
  const double x = static_cast<double>(angle);
  // x = n * pi/2 + r, |r| <= pi/4; pi/2 in two parts.
  const double shifted = __builtin_fma(x, 0x1.45f306dc9c883p-1, kMagic);
  const double n = shifted - kMagic;
  double r = __builtin_fma(n, -0x1.921fb54442d18p0, x);
  r = __builtin_fma(n, -0x1.1a62633145c07p-54, r);
  const double z = r * r;
  double s = __builtin_fma(-1.0 / 1307674368000.0, z, 1.0 / 6227020800.0);
  s = __builtin_fma(s, z, -1.0 / 39916800.0);
  s = __builtin_fma(s, z, 1.0 / 362880.0);
  s = __builtin_fma(s, z, -1.0 / 5040.0);
  s = __builtin_fma(s, z, 1.0 / 120.0);
  s = __builtin_fma(s, z, -1.0 / 6.0);
  s = __builtin_fma(s * z, r, r);
  double c = __builtin_fma(1.0 / 20922789888000.0, z, -1.0 / 87178291200.0);
  c = __builtin_fma(c, z, 1.0 / 479001600.0);
  c = __builtin_fma(c, z, -1.0 / 3628800.0);
  c = __builtin_fma(c, z, 1.0 / 40320.0);
  c = __builtin_fma(c, z, -1.0 / 720.0);
  c = __builtin_fma(c, z, 1.0 / 24.0);
  c = __builtin_fma(c, z, -0.5);
  c = __builtin_fma(c, z, 1.0);
  uint64_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  const double sine = (bits & 1) != 0 ? c : s;
  const double cosine = (bits & 1) != 0 ? s : c;
  return {static_cast<float>((bits & 2) != 0 ? -sine : sine),
          static_cast<float>(((bits + 1) & 2) != 0 ? -cosine : cosine)};
}

}  // namespace
}  // namespace quern::cpu
