// Native vectors of 16 lanes: AVX-512 F, BW, DQ, VL. With QUERN_DOT_VNNI also AVX-512 VNNI, which
// changes the integer dot product only.
#pragma once

#include <immintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/inlining.h"
#include "kernels/cpu/kernel_types.h"

namespace quern::cpu {
namespace {

inline constexpr int kLanes = 16;
inline constexpr int kFloatTileRows = 4;
inline constexpr int kFloatTileColumns = 4;
inline constexpr int kAttentionQueries = 8;  // a power of two
inline constexpr int kAttentionVectors = 2;
inline constexpr int kPanelColumns = 8;

using NF = __m512;
using NI = __m512i;
using NM = __mmask16;

QUERN_INLINE NF n_load(const float* p) { return _mm512_loadu_ps(p); }
QUERN_INLINE void n_store(float* p, NF a) { _mm512_storeu_ps(p, a); }
QUERN_INLINE NF n_set(float a) { return _mm512_set1_ps(a); }
QUERN_INLINE NI n_set_int(int32_t a) { return _mm512_set1_epi32(a); }
QUERN_INLINE NF n_add(NF a, NF b) { return _mm512_add_ps(a, b); }
QUERN_INLINE NF n_sub(NF a, NF b) { return _mm512_sub_ps(a, b); }
QUERN_INLINE NF n_mul(NF a, NF b) { return _mm512_mul_ps(a, b); }
QUERN_INLINE NF n_div(NF a, NF b) { return _mm512_div_ps(a, b); }
QUERN_INLINE NF n_fma(NF a, NF b, NF c) { return _mm512_fmadd_ps(a, b, c); }
QUERN_INLINE NF n_fnma(NF a, NF b, NF c) { return _mm512_fnmadd_ps(a, b, c); }
// a * b - c with one rounding.
QUERN_INLINE NF n_fms(NF a, NF b, NF c) { return _mm512_fmsub_ps(a, b, c); }
QUERN_INLINE NF n_max(NF a, NF b) { return _mm512_max_ps(a, b); }
QUERN_INLINE NF n_min(NF a, NF b) { return _mm512_min_ps(a, b); }
QUERN_INLINE NM n_less(NF a, NF b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
QUERN_INLINE NF n_select(NM m, NF a, NF b) { return _mm512_mask_mov_ps(b, m, a); }
QUERN_INLINE NI n_bits(NF a) { return _mm512_castps_si512(a); }
QUERN_INLINE NF n_from_bits(NI a) { return _mm512_castsi512_ps(a); }
QUERN_INLINE NF n_to_float(NI a) { return _mm512_cvtepi32_ps(a); }
QUERN_INLINE NI n_add_int(NI a, NI b) { return _mm512_add_epi32(a, b); }
QUERN_INLINE NI n_sub_int(NI a, NI b) { return _mm512_sub_epi32(a, b); }
// a * b + c, the low 32 bits.
QUERN_INLINE NI n_fma_int(NI a, NI b, NI c) {
  return _mm512_add_epi32(_mm512_mullo_epi32(a, b), c);
}
QUERN_INLINE NI n_and(NI a, NI b) { return _mm512_and_si512(a, b); }
QUERN_INLINE NI n_or(NI a, NI b) { return _mm512_or_si512(a, b); }
QUERN_INLINE NI n_xor(NI a, NI b) { return _mm512_xor_si512(a, b); }
QUERN_INLINE NI n_add_bytes(NI a, NI b) { return _mm512_add_epi8(a, b); }
QUERN_INLINE NI n_sub_bytes(NI a, NI b) { return _mm512_sub_epi8(a, b); }
QUERN_INLINE NI n_max_int(NI a, NI b) { return _mm512_max_epi32(a, b); }
template <int n>
QUERN_INLINE NI n_shl(NI a) {
  return _mm512_slli_epi32(a, n);
}
template <int n>
QUERN_INLINE NI n_sar(NI a) {
  return _mm512_srai_epi32(a, n);
}
template <int n>
QUERN_INLINE NI n_shr(NI a) {
  return _mm512_srli_epi32(a, n);
}
QUERN_INLINE NI n_shl_any(NI a, int n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }

// Lanes l and l + 8, then 4, 2, 1 apart.
QUERN_INLINE float n_reduce_add(NF a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
QUERN_INLINE float n_reduce_max(NF a) { return _mm512_reduce_max_ps(a); }
QUERN_INLINE int32_t n_reduce_add_int(NI a) { return _mm512_reduce_add_epi32(a); }
QUERN_INLINE int32_t n_reduce_max_int(NI a) { return _mm512_reduce_max_epi32(a); }

QUERN_INLINE NF n_load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
QUERN_INLINE NF n_load_bf16(const uint16_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
QUERN_INLINE void n_store_f16(uint16_t* p, NF a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
// One lane per byte.
QUERN_INLINE NI n_load_i8(const int8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
QUERN_INLINE NI n_load_u8(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
QUERN_INLINE NF n_set_f16(uint16_t a) { return _mm512_set1_ps(_cvtsh_ss(a)); }
QUERN_INLINE void n_store_i8(int8_t* p, NI a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
}

// Integer dot products: lane += the 4 products of its bytes. Signed weights cost extra.
inline constexpr bool kDotSigned = false;
QUERN_INLINE NI n_load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
QUERN_INLINE void n_store_bytes(uint8_t* p, NI a) { _mm512_storeu_si512(p, a); }
// v; asks for the line at p on the way, into the second-level cache. Bound to v, so that the
// compiler cannot gather such requests in one place.
QUERN_INLINE NI n_asking(NI v, const std::byte* p) {
  __asm__("prefetcht1 (%1)" : "+v"(v) : "r"(p));
  return v;
}
QUERN_INLINE NI n_broadcast4(const int8_t* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, sizeof(bytes));
  return _mm512_set1_epi32(bytes);
}
// 16-bit lanes: sums of two products of unsigned with signed bytes. Exact below 2^15.
QUERN_INLINE NI n_pair_products(NI w, NI a) { return _mm512_maddubs_epi16(w, a); }
// The same of signed bytes -128..127 with -127..127, as |w| * (a with the sign of w).
QUERN_INLINE NI n_wide_pair_products(NI w, NI a) {
  const __mmask64 negative = _mm512_movepi8_mask(w);
  const NI signed_a = _mm512_mask_sub_epi8(a, negative, _mm512_setzero_si512(), a);
  return _mm512_maddubs_epi16(_mm512_abs_epi8(w), signed_a);
}
QUERN_INLINE NI n_add_words(NI a, NI b) { return _mm512_add_epi16(a, b); }
QUERN_INLINE NI n_sub_words(NI a, NI b) { return _mm512_sub_epi16(a, b); }
template <int n>
QUERN_INLINE NI n_shl_words(NI a) {
  return _mm512_slli_epi16(a, n);
}
template <int n>
QUERN_INLINE NI n_shr_words(NI a) {
  return _mm512_srli_epi16(a, n);
}
// Bits of a where `mask` has ones, else of b.
QUERN_INLINE NI n_blend_bits(NI mask, NI a, NI b) {
  return _mm512_ternarylogic_epi32(mask, a, b, 0xCA);
}
// lane += its two words.
QUERN_INLINE NI n_add_pairs(NI sum, NI words) {
  return _mm512_add_epi32(sum, _mm512_madd_epi16(words, _mm512_set1_epi16(1)));
}
// lane += the products of its two words, all signed.
QUERN_INLINE NI n_dot_words(NI sum, NI a, NI b) {
#ifdef QUERN_DOT_VNNI
  return _mm512_dpwssd_epi32(sum, a, b);
#else
  return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
#endif
}
#ifdef QUERN_DOT_VNNI
inline constexpr bool kPairs = false;  // whether sums of words pay
// Weights 0..255.
inline constexpr uint8_t kDotFlip = 0x80;
QUERN_INLINE NI n_dot_unsigned(NI sum, NI w, NI a) { return _mm512_dpbusd_epi32(sum, w, a); }
QUERN_INLINE NI n_dot_wide(NI sum, NI w, NI a) { return _mm512_dpbusd_epi32(sum, w, a); }
#else
inline constexpr bool kPairs = true;
// Weights 0..127: two products fit in 16 bits.
inline constexpr uint8_t kDotFlip = 0;
QUERN_INLINE NI n_dot_unsigned(NI sum, NI w, NI a) {
  const NI pairs = _mm512_maddubs_epi16(w, a);
  return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
QUERN_INLINE NI n_dot_wide(NI sum, NI w, NI a) {
  return n_add_pairs(sum, n_wide_pair_products(w, a));
}
#endif

// out[i], lane r: bytes 4i..4i+3 of the 16 bytes at offset in row r.
QUERN_PART void n_transpose16(RowSet rows, int64_t offset, NI* out) {
  const auto load = [&](int first) {
    const auto at = [&](int r) {
      return _mm_loadu_si128(
          reinterpret_cast<const __m128i*>(rows.base + offset + r * rows.stride));
    };
    __m512i v = _mm512_castsi128_si512(at(first));
    v = _mm512_mask_broadcast_i32x4(v, 0x00F0, at(first + 4));
    v = _mm512_mask_broadcast_i32x4(v, 0x0F00, at(first + 8));
    return _mm512_mask_broadcast_i32x4(v, 0xF000, at(first + 12));
  };
  const __m512i a = load(0);
  const __m512i b = load(1);
  const __m512i c = load(2);
  const __m512i d = load(3);
  const __m512i ab_low = _mm512_unpacklo_epi32(a, b);
  const __m512i ab_high = _mm512_unpackhi_epi32(a, b);
  const __m512i cd_low = _mm512_unpacklo_epi32(c, d);
  const __m512i cd_high = _mm512_unpackhi_epi32(c, d);
  out[0] = _mm512_unpacklo_epi64(ab_low, cd_low);
  out[1] = _mm512_unpackhi_epi64(ab_low, cd_low);
  out[2] = _mm512_unpacklo_epi64(ab_high, cd_high);
  out[3] = _mm512_unpackhi_epi64(ab_high, cd_high);
}

// Four floats in lanes 0 to 3, 4 to 7 and so on; and one of the four in all lanes: one load and
// four shuffles where four loads would be one too many. The compiler would make them loads again.
QUERN_INLINE NF n_set_four(const float* p) {
  NF four = _mm512_broadcast_f32x4(_mm_loadu_ps(p));
  __asm__("" : "+v"(four));
  return four;
}
template <int i>
QUERN_INLINE NF n_one_of_four(NF four) {
  return _mm512_permute_ps(four, i * 0x55);
}

// The f16 in the low half of each lane.
QUERN_INLINE NF n_f16_of_low(NI a) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)); }
// A table of 16 bytes, and table[byte] for bytes 0..15.
QUERN_INLINE NI n_table16(const int8_t* table) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
}
QUERN_INLINE NI n_lookup(NI table, NI bytes) { return _mm512_shuffle_epi8(table, bytes); }
// Byte i of each lane: that of `set` where bit 4 * nibble + i of the lane of `bits` is 1, else that
// of `clear`.
template <int nibble>
QUERN_INLINE NI n_select_bits(NI bits, NI clear, NI set) {
  constexpr int kByte = nibble / 2 * 0x01010101;
  const __m128i order =
      _mm_setr_epi32(kByte, kByte + 0x04040404, kByte + 0x08080808, kByte + 0x0C0C0C0C);
  const NI bytes = _mm512_shuffle_epi8(bits, _mm512_broadcast_i32x4(order));
  constexpr uint32_t kBit = nibble % 2 == 0 ? 0x08040201U : 0x80402010U;
  const NI bit = _mm512_set1_epi32(static_cast<int32_t>(kBit));
  return _mm512_mask_mov_epi8(clear, _mm512_test_epi8_mask(bytes, bit), set);
}

// Codebooks of a few hundred numbers of 16 bits fit in registers.
#define QUERN_LOOKUP_WORDS
// For each 16-bit half of the lanes: table[index], of 256 or 512 entries (64-byte aligned).
template <int n_entries>
QUERN_PART NI n_lookup_words(const uint16_t* table, NI index) {
  static_assert(n_entries == 256 || n_entries == 512);
  const auto bit = [&](int n) {
    return _mm512_test_epi16_mask(index, _mm512_set1_epi16(static_cast<int16_t>(1 << n)));
  };
  const __mmask32 bit6 = bit(6);
  const __mmask32 bit7 = bit(7);
  // Bits 0 to 5 of the index choose among 64 entries in two registers.
  const auto from64 = [&](int first) {
    return _mm512_permutex2var_epi16(_mm512_load_si512(table + first), index,
                                     _mm512_load_si512(table + first + 32));
  };
  const auto from128 = [&](int first) {
    return _mm512_mask_mov_epi16(from64(first), bit6, from64(first + 64));
  };
  const auto from256 = [&](int first) {
    return _mm512_mask_mov_epi16(from128(first), bit7, from128(first + 128));
  };
  if constexpr (n_entries == 256) return from256(0);
  return _mm512_mask_mov_epi16(from256(0), bit(8), from256(n_entries - 256));
}

// Lane r: table[index r].
QUERN_PART NI n_lookup32(const uint32_t* table, NI index) {
  alignas(64) uint32_t at[kLanes];
  _mm512_store_si512(at, index);
  const auto four = [&](int r) {
    return _mm_setr_epi32(static_cast<int>(table[at[r]]), static_cast<int>(table[at[r + 1]]),
                          static_cast<int>(table[at[r + 2]]), static_cast<int>(table[at[r + 3]]));
  };
  const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(four(0)), four(4), 1);
  const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(four(8)), four(12), 1);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}
// Lane r: the low and the high half of table[index r].
QUERN_PART void n_lookup64(const uint64_t* table, NI index, NI* low, NI* high) {
  alignas(64) uint32_t at[kLanes];
  _mm512_store_si512(at, index);
  const auto two = [&](int r) {
    const auto* first = reinterpret_cast<const double*>(table + at[r]);
    const auto* second = reinterpret_cast<const double*>(table + at[r + 1]);
    return _mm_castpd_ps(_mm_loadh_pd(_mm_load_sd(first), second));
  };
  const auto rows = [&](int r) {
    __m512 v = _mm512_castps128_ps512(two(r));
    v = _mm512_insertf32x4(v, two(r + 4), 1);
    v = _mm512_insertf32x4(v, two(r + 8), 2);
    return _mm512_insertf32x4(v, two(r + 12), 3);
  };
  const __m512 a = rows(0);
  const __m512 b = rows(2);
  *low = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88));
  *high = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xDD));
}

}  // namespace
}  // namespace quern::cpu
