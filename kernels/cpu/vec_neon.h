// Native vectors of 4 lanes: Armv8 Advanced SIMD. With QUERN_DOT_NEON also the Armv8.2 int8 dot
// product, which changes the integer dot product only, and with QUERN_DOT_I8MM what the Armv8.6
// matrix product of bytes works on.
#pragma once

#include <arm_neon.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/inlining.h"
#include "kernels/cpu/kernel_types.h"

namespace quern::cpu {
namespace {

inline constexpr int kLanes = 4;
inline constexpr int kFloatTileRows = 2;
inline constexpr int kFloatTileColumns = 2;
inline constexpr int kAttentionQueries = 4;  // a power of two
inline constexpr int kAttentionVectors = 1;
inline constexpr int kPanelColumns = 8;

using NF = float32x4_t;
using NI = int32x4_t;
using NM = uint32x4_t;

QUERN_INLINE NF n_load(const float* p) { return vld1q_f32(p); }
QUERN_INLINE void n_store(float* p, NF a) { vst1q_f32(p, a); }
QUERN_INLINE NF n_set(float a) { return vdupq_n_f32(a); }
QUERN_INLINE NI n_set_int(int32_t a) { return vdupq_n_s32(a); }
QUERN_INLINE NF n_add(NF a, NF b) { return vaddq_f32(a, b); }
QUERN_INLINE NF n_sub(NF a, NF b) { return vsubq_f32(a, b); }
QUERN_INLINE NF n_mul(NF a, NF b) { return vmulq_f32(a, b); }
QUERN_INLINE NF n_div(NF a, NF b) { return vdivq_f32(a, b); }
QUERN_INLINE NF n_fma(NF a, NF b, NF c) { return vfmaq_f32(c, a, b); }
QUERN_INLINE NF n_fnma(NF a, NF b, NF c) { return vfmsq_f32(c, a, b); }
// a * b - c with one rounding.
QUERN_INLINE NF n_fms(NF a, NF b, NF c) { return vfmaq_f32(vnegq_f32(c), a, b); }
// vmaxq_f32 would return NaN where the other instruction sets return b.
QUERN_INLINE NF n_max(NF a, NF b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
QUERN_INLINE NF n_min(NF a, NF b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
QUERN_INLINE NM n_less(NF a, NF b) { return vcltq_f32(a, b); }
QUERN_INLINE NF n_select(NM m, NF a, NF b) { return vbslq_f32(m, a, b); }
QUERN_INLINE NI n_bits(NF a) { return vreinterpretq_s32_f32(a); }
QUERN_INLINE NF n_from_bits(NI a) { return vreinterpretq_f32_s32(a); }
QUERN_INLINE NF n_to_float(NI a) { return vcvtq_f32_s32(a); }
QUERN_INLINE NI n_add_int(NI a, NI b) { return vaddq_s32(a, b); }
QUERN_INLINE NI n_sub_int(NI a, NI b) { return vsubq_s32(a, b); }
// a * b + c, the low 32 bits.
QUERN_INLINE NI n_fma_int(NI a, NI b, NI c) { return vmlaq_s32(c, a, b); }
QUERN_INLINE NI n_and(NI a, NI b) { return vandq_s32(a, b); }
QUERN_INLINE NI n_or(NI a, NI b) { return vorrq_s32(a, b); }
QUERN_INLINE NI n_xor(NI a, NI b) { return veorq_s32(a, b); }
QUERN_INLINE NI n_add_bytes(NI a, NI b) {
  return vreinterpretq_s32_s8(vaddq_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)));
}
QUERN_INLINE NI n_sub_bytes(NI a, NI b) {
  return vreinterpretq_s32_s8(vsubq_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)));
}
QUERN_INLINE NI n_max_int(NI a, NI b) { return vmaxq_s32(a, b); }
template <int n>
QUERN_INLINE NI n_shl(NI a) {
  return vshlq_n_s32(a, n);
}
template <int n>
QUERN_INLINE NI n_sar(NI a) {
  return vshrq_n_s32(a, n);
}
template <int n>
QUERN_INLINE NI n_shr(NI a) {
  if constexpr (n == 0) {
    return a;
  } else {
    return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), n));
  }
}
QUERN_INLINE NI n_shl_any(NI a, int n) { return vshlq_s32(a, vdupq_n_s32(n)); }

// Lanes l and l + 2, then 1 apart.
QUERN_INLINE float n_reduce_add(NF a) {
  const float32x2_t two = vadd_f32(vget_low_f32(a), vget_high_f32(a));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
QUERN_INLINE float n_reduce_max(NF a) {
  const NF two = n_max(a, vextq_f32(a, a, 2));
  return vgetq_lane_f32(n_max(two, vextq_f32(two, two, 1)), 0);
}
QUERN_INLINE int32_t n_reduce_add_int(NI a) { return vaddvq_s32(a); }
QUERN_INLINE int32_t n_reduce_max_int(NI a) { return vmaxvq_s32(a); }

QUERN_INLINE NF n_load_f16(const uint16_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
QUERN_INLINE NF n_load_bf16(const uint16_t* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
QUERN_INLINE void n_store_f16(uint16_t* p, NF a) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}
// One lane per byte.
QUERN_INLINE NI n_load_i8(const int8_t* p) {
  uint32_t four;
  std::memcpy(&four, p, sizeof(four));
  return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four))));
}
QUERN_INLINE NI n_load_u8(const uint8_t* p) {
  uint32_t four;
  std::memcpy(&four, p, sizeof(four));
  return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
}
QUERN_INLINE NF n_set_f16(uint16_t a) { return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(a))); }
QUERN_INLINE void n_store_i8(int8_t* p, NI a) {
  const int16x4_t words = vmovn_s32(a);
  const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
  const int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
  std::memcpy(p, &four, sizeof(four));
}

// Integer dot products: lane += the 4 products of its bytes. Weights -128..127.
inline constexpr bool kDotSigned = true;
QUERN_INLINE NI n_load_bytes(const uint8_t* p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
QUERN_INLINE void n_store_bytes(uint8_t* p, NI a) { vst1q_u8(p, vreinterpretq_u8_s32(a)); }
// v; asks for the line at p on the way, into the second-level cache. Bound to v, so that the
// compiler cannot gather such requests in one place.
QUERN_INLINE NI n_asking(NI v, const std::byte* p) {
  __asm__("prfm pldl2keep, [%1]" : "+w"(v) : "r"(p));
  return v;
}
QUERN_INLINE NI n_broadcast4(const int8_t* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, sizeof(bytes));
  return vdupq_n_s32(bytes);
}
inline constexpr uint8_t kDotFlip = 0;
// Sums of words (see vec_avx2.h) do not pay: products widen as they are added.
inline constexpr bool kPairs = false;
template <typename V>
V n_pair_products(V w, V a);
template <typename V>
V n_wide_pair_products(V w, V a);
template <typename V>
V n_add_words(V a, V b);
template <typename V>
V n_add_pairs(V sum, V words);
QUERN_INLINE NI n_dot_wide(NI sum, NI w, NI a) {
  const int8x16_t x = vreinterpretq_s8_s32(w);
  const int8x16_t y = vreinterpretq_s8_s32(a);
#ifdef QUERN_DOT_NEON
  return vdotq_s32(sum, x, y);
#else
  const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(y)));
  const int32x4_t high = vpaddlq_s16(vmull_high_s8(x, y));
  return vaddq_s32(sum, vpaddq_s32(low, high));
#endif
}
QUERN_INLINE NI n_dot_unsigned(NI sum, NI w, NI a) { return n_dot_wide(sum, w, a); }
// lane += the products of its two words, all signed.
QUERN_INLINE NI n_dot_words(NI sum, NI a, NI b) {
  const int16x8_t x = vreinterpretq_s16_s32(a);
  const int16x8_t y = vreinterpretq_s16_s32(b);
  const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
  return vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(x, y)));
}

#ifdef QUERN_DOT_I8MM
// The low or high two lanes of a and b, in turn: a0 b0 a1 b1 or a2 b2 a3 b3; and back.
QUERN_INLINE NI n_zip_low(NI a, NI b) { return vzip1q_s32(a, b); }
QUERN_INLINE NI n_zip_high(NI a, NI b) { return vzip2q_s32(a, b); }
QUERN_INLINE NF n_zip_low(NF a, NF b) { return vzip1q_f32(a, b); }
QUERN_INLINE NF n_zip_high(NF a, NF b) { return vzip2q_f32(a, b); }
QUERN_INLINE NF n_unzip_even(NF low, NF high) { return vuzp1q_f32(low, high); }
QUERN_INLINE NF n_unzip_odd(NF low, NF high) { return vuzp2q_f32(low, high); }
// a b a b.
QUERN_INLINE NF n_pair(float a, float b) { return vzip1q_f32(vdupq_n_f32(a), vdupq_n_f32(b)); }
QUERN_INLINE NI n_pair(int32_t a, int32_t b) { return vzip1q_s32(vdupq_n_s32(a), vdupq_n_s32(b)); }
// 8 bytes from each.
QUERN_INLINE NI n_load_halves(const int8_t* a, const int8_t* b) {
  return vreinterpretq_s32_s8(vcombine_s8(vld1_s8(a), vld1_s8(b)));
}
// With 8 bytes per half: w0 . a0, w0 . a1, w1 . a0, w1 . a1 added to the lanes.
QUERN_INLINE NI n_dot_pairs(NI sum, NI w, NI a) {
  return vmmlaq_s32(sum, vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(a));
}
#endif

// out[i], lane r: bytes 4i..4i+3 of the 16 bytes at offset in row r.
QUERN_PART void n_transpose16(RowSet rows, int64_t offset, NI* out) {
  const auto load = [&](int r) {
    return n_load_bytes(reinterpret_cast<const uint8_t*>(rows.base + offset + r * rows.stride));
  };
  const NI a = load(0);
  const NI b = load(1);
  const NI c = load(2);
  const NI d = load(3);
  const int64x2_t ab_low = vreinterpretq_s64_s32(vzip1q_s32(a, b));
  const int64x2_t ab_high = vreinterpretq_s64_s32(vzip2q_s32(a, b));
  const int64x2_t cd_low = vreinterpretq_s64_s32(vzip1q_s32(c, d));
  const int64x2_t cd_high = vreinterpretq_s64_s32(vzip2q_s32(c, d));
  out[0] = vreinterpretq_s32_s64(vzip1q_s64(ab_low, cd_low));
  out[1] = vreinterpretq_s32_s64(vzip2q_s64(ab_low, cd_low));
  out[2] = vreinterpretq_s32_s64(vzip1q_s64(ab_high, cd_high));
  out[3] = vreinterpretq_s32_s64(vzip2q_s64(ab_high, cd_high));
}

// The f16 in the low half of each lane.
QUERN_INLINE NF n_f16_of_low(NI a) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(vreinterpretq_u32_s32(a))));
}
// A table of 16 bytes, and table[byte] for bytes 0..15.
QUERN_INLINE NI n_table16(const int8_t* table) { return vreinterpretq_s32_s8(vld1q_s8(table)); }
QUERN_INLINE NI n_lookup(NI table, NI bytes) {
  return vreinterpretq_s32_s8(vqtbl1q_s8(vreinterpretq_s8_s32(table), vreinterpretq_u8_s32(bytes)));
}
// Byte i of each lane: that of `set` where bit 4 * nibble + i of the lane of `bits` is 1, else that
// of `clear`.
template <int nibble>
QUERN_INLINE NI n_select_bits(NI bits, NI clear, NI set) {
  constexpr uint64_t kByte = nibble / 2 * 0x0101010101010101U;
  const uint8x16_t order =
      vcombine_u8(vcreate_u8(kByte + 0x0404040400000000U), vcreate_u8(kByte + 0x0C0C0C0C08080808U));
  const uint8x16_t bytes = vqtbl1q_u8(vreinterpretq_u8_s32(bits), order);
  const uint32_t bit = nibble % 2 == 0 ? 0x08040201U : 0x80402010U;
  const uint8x16_t is_set = vtstq_u8(bytes, vreinterpretq_u8_u32(vdupq_n_u32(bit)));
  return vreinterpretq_s32_u8(
      vbslq_u8(is_set, vreinterpretq_u8_s32(set), vreinterpretq_u8_s32(clear)));
}

// Lane r: table[index r].
QUERN_PART NI n_lookup32(const uint32_t* table, NI index) {
  uint32_t at[kLanes];
  vst1q_u32(at, vreinterpretq_u32_s32(index));
  const uint32_t lanes[kLanes] = {table[at[0]], table[at[1]], table[at[2]], table[at[3]]};
  return vreinterpretq_s32_u32(vld1q_u32(lanes));
}
// Lane r: the low and the high half of table[index r].
QUERN_PART void n_lookup64(const uint64_t* table, NI index, NI* low, NI* high) {
  uint32_t at[kLanes];
  vst1q_u32(at, vreinterpretq_u32_s32(index));
  const auto two = [&](int r) {
    return vreinterpretq_s32_u64(
        vcombine_u64(vld1_u64(table + at[r]), vld1_u64(table + at[r + 1])));
  };
  const NI a = two(0);
  const NI b = two(2);
  *low = vuzp1q_s32(a, b);
  *high = vuzp2q_s32(a, b);
}

}  // namespace
}  // namespace quern::cpu
