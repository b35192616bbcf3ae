// What differs between C++, CUDA and Metal in the block headers; the only place with #if on the
// language.
//
// A block header keeps to: plain structs, static functions on values, references and pointers,
// fixed-width integers. Everything is always inlined: a file compiled for one instruction set must
// not leave an out-of-line copy that the linker could hand to the others.
//
//   QUERN_FN       in front of every function (after it `static` for members)
//   QUERN_BLOCK    in front of a block reference or a pointer into one: read-only tensor memory
//   QUERN_LOCAL    in front of a pointer to the caller's private memory
//   QUERN_CONST    in front of a compile-time constant in a struct or namespace
//   QUERN_PACKED   behind a block struct: no padding, any alignment
//   QUERN_TABLE    in front of the definition of a table of constants: in codebooks.cc (C++), where
//                  codebooks.h gave it external linkage, or in each source that reads it (GPU)
//   float_bits, bits_of_float, float_from_f16, float_from_bf16, float_from_e8m0_half
//                  exact conversions
//   round_half_even   nearest int32, ties to even, of a float below 2^22 in magnitude
#pragma once

#include "kernels/formats/format_family.h"

#if defined(__METAL_VERSION__)

#include <metal_stdlib>

#define QUERN_FN inline __attribute__((always_inline))
#define QUERN_BLOCK const device
#define QUERN_LOCAL thread
#define QUERN_CONST static constexpr constant
#define QUERN_TABLE static constexpr constant

namespace quern::formats {
QUERN_FN float float_bits(uint32_t bits) { return as_type<float>(bits); }
QUERN_FN uint32_t bits_of_float(float value) { return as_type<uint32_t>(value); }
QUERN_FN int32_t round_half_even(float value) { return int32_t(rint(value)); }
QUERN_FN float float_from_f16(uint16_t bits) { return float(as_type<half>(bits)); }
}  // namespace quern::formats

#elif defined(__CUDACC__)

#include <cuda_fp16.h>

#include <cstdint>

// Device code only: the host part of a CUDA source never unpacks a block.
#define QUERN_FN __device__ __forceinline__
#define QUERN_BLOCK const
#define QUERN_LOCAL
#define QUERN_CONST static constexpr
#define QUERN_TABLE static __device__ const

namespace quern::formats {
QUERN_FN float float_bits(uint32_t bits) { return __uint_as_float(bits); }
QUERN_FN uint32_t bits_of_float(float value) { return __float_as_uint(value); }
QUERN_FN int32_t round_half_even(float value) { return __float2int_rn(value); }
QUERN_FN float float_from_f16(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
}  // namespace quern::formats

#else

#include <cstdint>

#include "config/base/half.h"

#define QUERN_FN __attribute__((always_inline)) inline
#define QUERN_BLOCK const
#define QUERN_LOCAL
#define QUERN_CONST static constexpr
#define QUERN_TABLE const

namespace quern::formats {
QUERN_FN float float_bits(uint32_t bits) { return __builtin_bit_cast(float, bits); }
QUERN_FN uint32_t bits_of_float(float value) { return __builtin_bit_cast(uint32_t, value); }
// Adding 1.5 * 2^23 leaves no fraction bits, so the addition itself rounds, to nearest even.
QUERN_FN int32_t round_half_even(float value) {
  return static_cast<int32_t>(bits_of_float(value + 0x1.8p23F)) - 0x4B400000;
}
QUERN_FN float float_from_f16(uint16_t bits) { return f16_to_f32(bits); }
}  // namespace quern::formats

#endif

#define QUERN_PACKED __attribute__((packed))

namespace quern::formats {

QUERN_FN float float_from_bf16(uint16_t bits) { return float_bits(uint32_t(bits) << 16); }

// 2^(x - 128); subnormal floats for x below 2.
QUERN_FN float float_from_e8m0_half(uint8_t x) {
  return float_bits(x < 2 ? uint32_t(0x00200000) << x : uint32_t(x - 1) << 23);
}

}  // namespace quern::formats
