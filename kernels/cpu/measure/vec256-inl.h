// 256-bit vocabulary for rate-inl.h. QUERN_RATE_VNNI: byte dot products in one instruction.
#include <immintrin.h>

namespace {

struct V {
  using Int = __m256i;
  using Float = __m256;
  static constexpr int kBytes = 32;
  static Int zero_int() { return _mm256_setzero_si256(); }
  static Float zero_float() { return _mm256_setzero_ps(); }
  static Float set_float(float x) { return _mm256_set1_ps(x); }
  static Int bytes(int seed) { return _mm256_set1_epi8(static_cast<char>(seed)); }
  static Int dot(Int acc, Int a, Int b) {
#if defined(QUERN_RATE_VNNI)
    return _mm256_dpbusd_avx_epi32(acc, a, b);
#else
    const Int pairs = _mm256_maddubs_epi16(a, b);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
  }
  static Float fma(Float a, Float b, Float acc) { return _mm256_fmadd_ps(a, b, acc); }
  static int64_t sum_int(Int v) {
    alignas(32) int32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<Int*>(lanes), v);
    int64_t sum = 0;
    for (const int32_t lane : lanes) sum += lane;
    return sum;
  }
  static float sum_float(Float v) {
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes, v);
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    return sum;
  }
};

}  // namespace

#define QUERN_VECTOR_REGISTER(x) "x"(x)
