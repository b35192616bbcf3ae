// Native vectors of 8 lanes: AVX2, FMA and F16C. With QUERN_DOT_VNNI also AVX-VNNI, which changes
// the integer dot product only.
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

inline constexpr int kLanes = 8;
inline constexpr int kFloatTileRows = 2;
inline constexpr int kFloatTileColumns = 2;
inline constexpr int kAttentionQueries = 4;  // a power of two
inline constexpr int kAttentionVectors = 1;
inline constexpr int kPanelColumns = 4;

using NF = __m256;
using NI = __m256i;
using NM = __m256;

QUERN_INLINE NF n_load(const float* p) { return _mm256_loadu_ps(p); }
QUERN_INLINE void n_store(float* p, NF a) { _mm256_storeu_ps(p, a); }
QUERN_INLINE NF n_set(float a) { return _mm256_set1_ps(a); }
QUERN_INLINE NI n_set_int(int32_t a) { return _mm256_set1_epi32(a); }
QUERN_INLINE NF n_add(NF a, NF b) { return _mm256_add_ps(a, b); }
QUERN_INLINE NF n_sub(NF a, NF b) { return _mm256_sub_ps(a, b); }
QUERN_INLINE NF n_mul(NF a, NF b) { return _mm256_mul_ps(a, b); }
QUERN_INLINE NF n_div(NF a, NF b) { return _mm256_div_ps(a, b); }
QUERN_INLINE NF n_fma(NF a, NF b, NF c) { return _mm256_fmadd_ps(a, b, c); }
QUERN_INLINE NF n_fnma(NF a, NF b, NF c) { return _mm256_fnmadd_ps(a, b, c); }
// a * b - c with one rounding.
QUERN_INLINE NF n_fms(NF a, NF b, NF c) { return _mm256_fmsub_ps(a, b, c); }
QUERN_INLINE NF n_max(NF a, NF b) { return _mm256_max_ps(a, b); }
QUERN_INLINE NF n_min(NF a, NF b) { return _mm256_min_ps(a, b); }
QUERN_INLINE NM n_less(NF a, NF b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
QUERN_INLINE NF n_select(NM m, NF a, NF b) { return _mm256_blendv_ps(b, a, m); }
QUERN_INLINE NI n_bits(NF a) { return _mm256_castps_si256(a); }
QUERN_INLINE NF n_from_bits(NI a) { return _mm256_castsi256_ps(a); }
QUERN_INLINE NF n_to_float(NI a) { return _mm256_cvtepi32_ps(a); }
QUERN_INLINE NI n_add_int(NI a, NI b) { return _mm256_add_epi32(a, b); }
QUERN_INLINE NI n_sub_int(NI a, NI b) { return _mm256_sub_epi32(a, b); }
// a * b + c, the low 32 bits.
QUERN_INLINE NI n_fma_int(NI a, NI b, NI c) {
  return _mm256_add_epi32(_mm256_mullo_epi32(a, b), c);
}
QUERN_INLINE NI n_and(NI a, NI b) { return _mm256_and_si256(a, b); }
QUERN_INLINE NI n_or(NI a, NI b) { return _mm256_or_si256(a, b); }
QUERN_INLINE NI n_xor(NI a, NI b) { return _mm256_xor_si256(a, b); }
QUERN_INLINE NI n_add_bytes(NI a, NI b) { return _mm256_add_epi8(a, b); }
QUERN_INLINE NI n_sub_bytes(NI a, NI b) { return _mm256_sub_epi8(a, b); }
QUERN_INLINE NI n_max_int(NI a, NI b) { return _mm256_max_epi32(a, b); }
template <int n>
QUERN_INLINE NI n_shl(NI a) {
  return _mm256_slli_epi32(a, n);
}
template <int n>
QUERN_INLINE NI n_sar(NI a) {
  return _mm256_srai_epi32(a, n);
}
template <int n>
QUERN_INLINE NI n_shr(NI a) {
  return _mm256_srli_epi32(a, n);
}
QUERN_INLINE NI n_shl_any(NI a, int n) { return _mm256_sll_epi32(a, _mm_cvtsi32_si128(n)); }

// Lanes l and l + 4, then 2, 1 apart.
QUERN_INLINE float n_reduce_add(NF a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
QUERN_INLINE float n_reduce_max(NF a) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
QUERN_INLINE int32_t n_reduce_add_int(NI a) {
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}
QUERN_INLINE int32_t n_reduce_max_int(NI a) {
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

QUERN_INLINE NF n_load_f16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
QUERN_INLINE NF n_load_bf16(const uint16_t* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
QUERN_INLINE void n_store_f16(uint16_t* p, NF a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
// The low halves of the lanes, in order.
QUERN_INLINE __m128i n_low_halves(NI a) {
  const __m256i low = _mm256_and_si256(a, _mm256_set1_epi32(0xFFFF));
  return _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
}
// One lane per byte.
QUERN_INLINE NI n_load_i8(const int8_t* p) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
QUERN_INLINE NI n_load_u8(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
QUERN_INLINE NF n_set_f16(uint16_t a) { return _mm256_set1_ps(_cvtsh_ss(a)); }
QUERN_INLINE void n_store_i8(int8_t* p, NI a) {
  const __m128i words = _mm_and_si128(n_low_halves(a), _mm_set1_epi16(0xFF));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}

// Integer dot products: lane += the 4 products of its bytes. Signed weights cost extra.
inline constexpr bool kDotSigned = false;
QUERN_INLINE NI n_load_bytes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
QUERN_INLINE void n_store_bytes(uint8_t* p, NI a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
}
// v; asks for the line at p on the way, into the second-level cache. Bound to v, so that the
// compiler cannot gather such requests in one place.
QUERN_INLINE NI n_asking(NI v, const std::byte* p) {
  __asm__("prefetcht1 (%1)" : "+x"(v) : "r"(p));
  return v;
}
QUERN_INLINE NI n_broadcast4(const int8_t* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, sizeof(bytes));
  return _mm256_set1_epi32(bytes);
}
// 16-bit lanes: sums of two products of unsigned with signed bytes. Exact below 2^15.
QUERN_INLINE NI n_pair_products(NI w, NI a) { return _mm256_maddubs_epi16(w, a); }
// The same of signed bytes -128..127 with -127..127, as |w| * (a with the sign of w).
QUERN_INLINE NI n_wide_pair_products(NI w, NI a) {
  return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
}
QUERN_INLINE NI n_add_words(NI a, NI b) { return _mm256_add_epi16(a, b); }
// lane += its two words.
QUERN_INLINE NI n_add_pairs(NI sum, NI words) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
}
// lane += the products of its two words, all signed.
QUERN_INLINE NI n_dot_words(NI sum, NI a, NI b) {
#ifdef QUERN_DOT_VNNI
  return _mm256_dpwssd_avx_epi32(sum, a, b);
#else
  return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
}
#ifdef QUERN_DOT_VNNI
inline constexpr bool kPairs = false;  // whether sums of words pay
// Weights 0..255.
inline constexpr uint8_t kDotFlip = 0x80;
QUERN_INLINE NI n_dot_unsigned(NI sum, NI w, NI a) { return _mm256_dpbusd_avx_epi32(sum, w, a); }
QUERN_INLINE NI n_dot_wide(NI sum, NI w, NI a) { return _mm256_dpbusd_avx_epi32(sum, w, a); }
#else
inline constexpr bool kPairs = true;
// Weights 0..127: two products fit in 16 bits.
inline constexpr uint8_t kDotFlip = 0;
QUERN_INLINE NI n_dot_unsigned(NI sum, NI w, NI a) {
  const NI pairs = _mm256_maddubs_epi16(w, a);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
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
    return _mm256_inserti128_si256(_mm256_castsi128_si256(at(first)), at(first + 4), 1);
  };
  const __m256i a = load(0);
  const __m256i b = load(1);
  const __m256i c = load(2);
  const __m256i d = load(3);
  const __m256i ab_low = _mm256_unpacklo_epi32(a, b);
  const __m256i ab_high = _mm256_unpackhi_epi32(a, b);
  const __m256i cd_low = _mm256_unpacklo_epi32(c, d);
  const __m256i cd_high = _mm256_unpackhi_epi32(c, d);
  out[0] = _mm256_unpacklo_epi64(ab_low, cd_low);
  out[1] = _mm256_unpackhi_epi64(ab_low, cd_low);
  out[2] = _mm256_unpacklo_epi64(ab_high, cd_high);
  out[3] = _mm256_unpackhi_epi64(ab_high, cd_high);
}

// The f16 in the low half of each lane.
QUERN_INLINE NF n_f16_of_low(NI a) { return _mm256_cvtph_ps(n_low_halves(a)); }
// A table of 16 bytes, and table[byte] for bytes 0..15.
QUERN_INLINE NI n_table16(const int8_t* table) {
  const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm256_broadcastsi128_si256(t);
}
QUERN_INLINE NI n_lookup(NI table, NI bytes) { return _mm256_shuffle_epi8(table, bytes); }
// Byte i of each lane: that of `set` where bit 4 * nibble + i of the lane of `bits` is 1, else that
// of `clear`.
template <int nibble>
QUERN_INLINE NI n_select_bits(NI bits, NI clear, NI set) {
  constexpr int kByte = nibble / 2 * 0x01010101;
  const __m128i order =
      _mm_setr_epi32(kByte, kByte + 0x04040404, kByte + 0x08080808, kByte + 0x0C0C0C0C);
  const NI bytes = _mm256_shuffle_epi8(bits, _mm256_broadcastsi128_si256(order));
  constexpr uint32_t kBit = nibble % 2 == 0 ? 0x08040201U : 0x80402010U;
  const NI bit = _mm256_set1_epi32(static_cast<int32_t>(kBit));
  return _mm256_blendv_epi8(clear, set, _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit));
}

// Lane r: table[index r].
QUERN_PART NI n_lookup32(const uint32_t* table, NI index) {
  alignas(32) uint32_t at[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(at), index);
  const auto entry = [&](int r) { return static_cast<int>(table[at[r]]); };
  return _mm256_setr_epi32(entry(0), entry(1), entry(2), entry(3), entry(4), entry(5), entry(6),
                           entry(7));
}
// Lane r: the low and the high half of table[index r].
QUERN_PART void n_lookup64(const uint64_t* table, NI index, NI* low, NI* high) {
  alignas(32) uint32_t at[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(at), index);
  const auto two = [&](int r) {
    const auto* first = reinterpret_cast<const double*>(table + at[r]);
    const auto* second = reinterpret_cast<const double*>(table + at[r + 1]);
    return _mm_castpd_ps(_mm_loadh_pd(_mm_load_sd(first), second));
  };
  const __m256 a = _mm256_insertf128_ps(_mm256_castps128_ps256(two(0)), two(4), 1);
  const __m256 b = _mm256_insertf128_ps(_mm256_castps128_ps256(two(2)), two(6), 1);
  *low = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
  *high = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD));
}

}  // namespace
}  // namespace quern::cpu
