// Vectors of 16 lanes made of native ones: the virtual lanes of the reproducibility contract. The
// same on every instruction set, so code written over them gives the same bits everywhere.
//
// Included after a vec_*.h. Lane l is lane l % kLanes of native vector l / kLanes.
#pragma once

namespace quern::cpu {
namespace {

inline constexpr int kVecLanes = 16;
inline constexpr int kNatives = kVecLanes / kLanes;

struct Vec {
  NF n[kNatives];
};
struct VecI {
  NI n[kNatives];
};
struct VecMask {
  NM n[kNatives];
};

// result = native(operands), native vector by native vector.
#define QUERN_EACH(Type, expression)   \
  Type r;                              \
  QUERN_UNROLL                         \
  for (int i = 0; i < kNatives; ++i) { \
    r.n[i] = expression;               \
  }                                    \
  return r

QUERN_INLINE Vec v_load(const float* p) { QUERN_EACH(Vec, n_load(p + i * kLanes)); }
QUERN_INLINE void v_store(float* p, const Vec& a) {
  QUERN_UNROLL
  for (int i = 0; i < kNatives; ++i) n_store(p + i * kLanes, a.n[i]);
}
QUERN_INLINE Vec v_set(float a) { QUERN_EACH(Vec, n_set(a)); }
QUERN_INLINE VecI v_set_int(int32_t a) { QUERN_EACH(VecI, n_set_int(a)); }
QUERN_INLINE Vec v_zero() { return v_set(0.0F); }
QUERN_INLINE Vec v_add(const Vec& a, const Vec& b) { QUERN_EACH(Vec, n_add(a.n[i], b.n[i])); }
QUERN_INLINE Vec v_sub(const Vec& a, const Vec& b) { QUERN_EACH(Vec, n_sub(a.n[i], b.n[i])); }
QUERN_INLINE Vec v_mul(const Vec& a, const Vec& b) { QUERN_EACH(Vec, n_mul(a.n[i], b.n[i])); }
QUERN_INLINE Vec v_div(const Vec& a, const Vec& b) { QUERN_EACH(Vec, n_div(a.n[i], b.n[i])); }
// a * b + c with one rounding.
QUERN_INLINE Vec v_fma(const Vec& a, const Vec& b, const Vec& c) {
  QUERN_EACH(Vec, n_fma(a.n[i], b.n[i], c.n[i]));
}
// a > b ? a : b and a < b ? a : b: b if either is NaN.
QUERN_INLINE Vec v_max(const Vec& a, const Vec& b) { QUERN_EACH(Vec, n_max(a.n[i], b.n[i])); }
QUERN_INLINE Vec v_min(const Vec& a, const Vec& b) { QUERN_EACH(Vec, n_min(a.n[i], b.n[i])); }
// False where either is NaN.
QUERN_INLINE VecMask v_less(const Vec& a, const Vec& b) {
  QUERN_EACH(VecMask, n_less(a.n[i], b.n[i]));
}
QUERN_INLINE Vec v_select(const VecMask& m, const Vec& a, const Vec& b) {
  QUERN_EACH(Vec, n_select(m.n[i], a.n[i], b.n[i]));
}
QUERN_INLINE VecI v_bits(const Vec& a) { QUERN_EACH(VecI, n_bits(a.n[i])); }
QUERN_INLINE Vec v_from_bits(const VecI& a) { QUERN_EACH(Vec, n_from_bits(a.n[i])); }
QUERN_INLINE VecI v_add_int(const VecI& a, const VecI& b) {
  QUERN_EACH(VecI, n_add_int(a.n[i], b.n[i]));
}
QUERN_INLINE VecI v_sub_int(const VecI& a, const VecI& b) {
  QUERN_EACH(VecI, n_sub_int(a.n[i], b.n[i]));
}
QUERN_INLINE VecI v_and(const VecI& a, const VecI& b) { QUERN_EACH(VecI, n_and(a.n[i], b.n[i])); }
QUERN_INLINE VecI v_or(const VecI& a, const VecI& b) { QUERN_EACH(VecI, n_or(a.n[i], b.n[i])); }
QUERN_INLINE VecI v_max_int(const VecI& a, const VecI& b) {
  QUERN_EACH(VecI, n_max_int(a.n[i], b.n[i]));
}
template <int bits>
QUERN_INLINE VecI v_shl(const VecI& a) {
  QUERN_EACH(VecI, n_shl<bits>(a.n[i]));
}
template <int bits>
QUERN_INLINE VecI v_sar(const VecI& a) {
  QUERN_EACH(VecI, n_sar<bits>(a.n[i]));
}
QUERN_INLINE Vec v_load_f16(const uint16_t* p) { QUERN_EACH(Vec, n_load_f16(p + i * kLanes)); }
QUERN_INLINE Vec v_load_bf16(const uint16_t* p) { QUERN_EACH(Vec, n_load_bf16(p + i * kLanes)); }
QUERN_INLINE VecI v_load_i8(const int8_t* p) { QUERN_EACH(VecI, n_load_i8(p + i * kLanes)); }
QUERN_INLINE VecI v_load_u8(const uint8_t* p) { QUERN_EACH(VecI, n_load_u8(p + i * kLanes)); }
QUERN_INLINE Vec v_set_f16(uint16_t a) { QUERN_EACH(Vec, n_set_f16(a)); }
QUERN_INLINE Vec v_to_float(const VecI& a) { QUERN_EACH(Vec, n_to_float(a.n[i])); }
QUERN_INLINE void v_store_f16(uint16_t* p, const Vec& a) {
  QUERN_UNROLL
  for (int i = 0; i < kNatives; ++i) n_store_f16(p + i * kLanes, a.n[i]);
}
// The low byte of each lane.
QUERN_INLINE void v_store_i8(int8_t* p, const VecI& a) {
  QUERN_UNROLL
  for (int i = 0; i < kNatives; ++i) n_store_i8(p + i * kLanes, a.n[i]);
}
#undef QUERN_EACH

// Folds the natives of a vector into one: lane l with lane l + 8, then l + 4, and so on.
#define QUERN_FOLD(Type, join)                                             \
  Type a = vec;                                                            \
  QUERN_UNROLL                                                             \
  for (int width = kNatives / 2; width > 0; width /= 2) {                  \
    QUERN_UNROLL                                                           \
    for (int i = 0; i < width; ++i) a.n[i] = join(a.n[i], a.n[i + width]); \
  }

// Sum of all lanes by the tree (l, l + 8), (l, l + 4), (l, l + 2), (l, l + 1).
QUERN_INLINE float v_reduce_add(const Vec& vec) {
  QUERN_FOLD(Vec, n_add)
  return n_reduce_add(a.n[0]);
}
// Largest lane; if one is NaN the result is any lane.
QUERN_INLINE float v_reduce_max(const Vec& vec) {
  QUERN_FOLD(Vec, n_max)
  return n_reduce_max(a.n[0]);
}
QUERN_INLINE int32_t v_reduce_add_int(const VecI& vec) {
  QUERN_FOLD(VecI, n_add_int)
  return n_reduce_add_int(a.n[0]);
}
QUERN_INLINE int32_t v_reduce_max_int(const VecI& vec) {
  QUERN_FOLD(VecI, n_max_int)
  return n_reduce_max_int(a.n[0]);
}
#undef QUERN_FOLD

// The first n (0..15) values, zeros behind them; nothing past them is read.
QUERN_INLINE Vec v_load_first(const float* p, int64_t n) {
  float full[kVecLanes] = {};
  std::memcpy(full, p, static_cast<size_t>(n) * sizeof(float));
  return v_load(full);
}
QUERN_INLINE Vec v_load_first_f16(const uint16_t* p, int64_t n) {
  uint16_t full[kVecLanes] = {};
  std::memcpy(full, p, static_cast<size_t>(n) * sizeof(uint16_t));
  return v_load_f16(full);
}
QUERN_INLINE Vec v_load_first_bf16(const uint16_t* p, int64_t n) {
  uint16_t full[kVecLanes] = {};
  std::memcpy(full, p, static_cast<size_t>(n) * sizeof(uint16_t));
  return v_load_bf16(full);
}
QUERN_INLINE void v_store_first(float* p, int64_t n, const Vec& a) {
  float full[kVecLanes];
  v_store(full, a);
  std::memcpy(p, full, static_cast<size_t>(n) * sizeof(float));
}

}  // namespace
}  // namespace quern::cpu
