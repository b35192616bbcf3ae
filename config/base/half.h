// Scalar conversions between float and the small floating-point encodings found in model files:
// IEEE binary16 (f16), bfloat16, OCP MX E8M0 scales, OCP FP8 E4M3 and E5M2.
//
// Widening is exact for every bit pattern (subnormals, infinities, NaN payload class); narrowing
// rounds to nearest, ties to even. Integer arithmetic only touches the bits, so the results do not
// depend on rounding mode, flush-to-zero flags or the instruction set. Always inlined, so that
// files compiled for one instruction set never donate an out-of-line copy to the rest
// (std::bit_cast would, without optimization; hence the builtin behind it). Sources: IEEE 754-2019;
// OCP Microscaling Formats (MX) v1.0; OCP 8-bit Floating Point (OFP8) v1.0.
#pragma once

#include <cstdint>

#define QUERN_HALF_FN [[gnu::always_inline]] inline

namespace quern {

QUERN_HALF_FN float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
  const uint32_t exponent = (half >> 10) & 0x1FU;
  const uint32_t mantissa = half & 0x3FFU;
  if (exponent == 0) {
    // Zero or subnormal: mantissa * 2^-24, which is a normal float, so this product is exact.
    const float magnitude = static_cast<float>(static_cast<int32_t>(mantissa)) * 0x1p-24F;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, magnitude) | sign);
  }
  const uint32_t wide = exponent == 0x1F ? 0xFFU : exponent + (127 - 15);
  return __builtin_bit_cast(float, sign | (wide << 23) | (mantissa << 13));
}

// NaN stays NaN: the quiet bit is set and the upper payload bits are kept.
QUERN_HALF_FN uint16_t f32_to_f16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  uint32_t out = 0;
  if (magnitude > 0x7F800000U) {
    out = 0x7E00U | ((magnitude >> 13) & 0x3FFU);
  } else if (magnitude >= 0x477FF000U) {  // 65520 and above round to infinity
    out = 0x7C00U;
  } else if (magnitude >= 0x38800000U) {  // 2^-14 and above: normal
    const uint32_t rebased = magnitude - ((127U - 15U) << 23);
    out = (rebased + 0xFFFU + ((rebased >> 13) & 1U)) >> 13;
  } else if (magnitude >= 0x33000000U) {              // 2^-25 and above may round to a subnormal
    const uint32_t shift = 126U - (magnitude >> 23);  // 14 to 24 bits fall off
    const uint32_t significand = (magnitude & 0x7FFFFFU) | 0x800000U;
    const uint32_t kept = significand >> shift;
    const uint32_t rest = significand & ((1U << shift) - 1U);
    const uint32_t half_way = 1U << (shift - 1U);
    out = kept + ((rest > half_way || (rest == half_way && (kept & 1U) != 0)) ? 1U : 0U);
  }
  return static_cast<uint16_t>(sign | out);
}

QUERN_HALF_FN float bf16_to_f32(uint16_t value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value) << 16);
}

// NaN stays NaN: the quiet bit is set and the upper payload bits are kept.
QUERN_HALF_FN uint16_t f32_to_bf16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

// E8M0 is 2^(x - 127); 255 is NaN.
QUERN_HALF_FN float e8m0_to_f32(uint8_t x) {
  if (x == 0xFF) return __builtin_bit_cast(float, 0x7FC00000U);
  return __builtin_bit_cast(float, x == 0 ? 0x00400000U : static_cast<uint32_t>(x) << 23);
}

// Half of that, 2^(x - 128), with which GGUF's MXFP4 scales doubled E2M1 values. GGUF gives 255 no
// special meaning here: it is 2^127.
QUERN_HALF_FN float e8m0_half_to_f32(uint8_t x) {
  return __builtin_bit_cast(float, x < 2 ? 0x00200000U << x : static_cast<uint32_t>(x - 1) << 23);
}

// E4M3 ("fn": no infinity, 0x7F and 0xFF are NaN), bias 7.
QUERN_HALF_FN float e4m3_to_f32(uint8_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x80U) << 24;
  const uint32_t magnitude = x & 0x7FU;
  if (magnitude == 0x7F) return __builtin_bit_cast(float, sign | 0x7FC00000U);
  if (magnitude < 8) {
    const float value = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-9F;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, value) | sign);
  }
  return __builtin_bit_cast(float, sign | ((magnitude << 20) + ((127U - 7U) << 23)));
}

// E5M2 is the upper byte of an f16.
QUERN_HALF_FN float e5m2_to_f32(uint8_t x) {
  return f16_to_f32(static_cast<uint16_t>(static_cast<uint32_t>(x) << 8));
}

}  // namespace quern

#undef QUERN_HALF_FN
