// Native vectors of one lane: plain C++, for processors without a row of their own and as the
// reference for the others. The vocabulary is that of the other vec_*.h files.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "config/base/half.h"
#include "kernels/cpu/inlining.h"

// The compiler makes better loops of single values itself.
#undef QUERN_UNROLL
#define QUERN_UNROLL

namespace quern::cpu {
namespace {

inline constexpr int kLanes = 1;
// Register tiles: outputs x columns of the float product, columns of the panel product, queries of
// attention.
inline constexpr int kFloatTileRows = 1;
inline constexpr int kFloatTileColumns = 1;
inline constexpr int kAttentionQueries = 1;  // a power of two
inline constexpr int kAttentionVectors = 1;

using NF = float;     // native floats
using NI = uint32_t;  // native integers, wrapping
using NM = bool;      // native mask

QUERN_INLINE NF n_load(const float* p) {
  float v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
QUERN_INLINE void n_store(float* p, NF a) { std::memcpy(p, &a, sizeof(a)); }
QUERN_INLINE NF n_set(float a) { return a; }
QUERN_INLINE NI n_set_int(int32_t a) { return static_cast<NI>(a); }
QUERN_INLINE NF n_add(NF a, NF b) { return a + b; }
QUERN_INLINE NF n_sub(NF a, NF b) { return a - b; }
QUERN_INLINE NF n_mul(NF a, NF b) { return a * b; }
QUERN_INLINE NF n_div(NF a, NF b) { return a / b; }
// a * b + c, rounded once; the C library's version where the processor has none is exact too.
QUERN_INLINE NF n_fma(NF a, NF b, NF c) { return __builtin_fmaf(a, b, c); }
// a > b ? a : b, so b if either is NaN.
QUERN_INLINE NF n_max(NF a, NF b) { return a > b ? a : b; }
QUERN_INLINE NF n_min(NF a, NF b) { return a < b ? a : b; }
QUERN_INLINE NM n_less(NF a, NF b) { return a < b; }
QUERN_INLINE NF n_select(NM m, NF a, NF b) { return m ? a : b; }
QUERN_INLINE NI n_bits(NF a) { return std::bit_cast<NI>(a); }
QUERN_INLINE NF n_from_bits(NI a) { return std::bit_cast<NF>(a); }
QUERN_INLINE NF n_to_float(NI a) { return static_cast<float>(static_cast<int32_t>(a)); }
QUERN_INLINE NI n_add_int(NI a, NI b) { return a + b; }
QUERN_INLINE NI n_sub_int(NI a, NI b) { return a - b; }
QUERN_INLINE NI n_and(NI a, NI b) { return a & b; }
QUERN_INLINE NI n_or(NI a, NI b) { return a | b; }
QUERN_INLINE NI n_max_int(NI a, NI b) {
  return static_cast<int32_t>(a) > static_cast<int32_t>(b) ? a : b;
}
template <int n>
QUERN_INLINE NI n_shl(NI a) {
  return a << n;
}
// Arithmetic.
template <int n>
QUERN_INLINE NI n_sar(NI a) {
  return static_cast<NI>(static_cast<int32_t>(a) >> n);
}
QUERN_INLINE float n_reduce_add(NF a) { return a; }
QUERN_INLINE float n_reduce_max(NF a) { return a; }
QUERN_INLINE int32_t n_reduce_add_int(NI a) { return static_cast<int32_t>(a); }
QUERN_INLINE int32_t n_reduce_max_int(NI a) { return static_cast<int32_t>(a); }
QUERN_INLINE NF n_load_f16(const uint16_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return f16_to_f32(bits);
}
QUERN_INLINE NF n_load_bf16(const uint16_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bf16_to_f32(bits);
}
QUERN_INLINE void n_store_f16(uint16_t* p, NF a) {
  const uint16_t bits = f32_to_f16(a);
  std::memcpy(p, &bits, sizeof(bits));
}
// One lane per byte.
QUERN_INLINE NI n_load_i8(const int8_t* p) { return static_cast<NI>(int32_t{*p}); }
QUERN_INLINE NI n_load_u8(const uint8_t* p) { return *p; }
QUERN_INLINE NF n_set_f16(uint16_t a) { return f16_to_f32(a); }
QUERN_INLINE void n_store_i8(int8_t* p, NI a) { *p = static_cast<int8_t>(a); }

}  // namespace
}  // namespace quern::cpu
