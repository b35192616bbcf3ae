// 128-bit vectors with the Armv8.2 byte dot product.
#include <arm_neon.h>

#include "kernels/cpu/measure/rate_kernel.h"

namespace {

struct V {
  using Int = int32x4_t;
  using Float = float32x4_t;
  static constexpr int kBytes = 16;
  static Int zero_int() { return vdupq_n_s32(0); }
  static Float zero_float() { return vdupq_n_f32(0); }
  static Float set_float(float x) { return vdupq_n_f32(x); }
  static Int bytes(int seed) { return vreinterpretq_s32_s8(vdupq_n_s8(static_cast<int8_t>(seed))); }
  static Int dot(Int acc, Int a, Int b) {
    return vdotq_s32(acc, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
  }
  static Float fma(Float a, Float b, Float acc) { return vfmaq_f32(acc, a, b); }
  static int64_t sum_int(Int v) { return vaddlvq_s32(v); }
  static float sum_float(Float v) { return vaddvq_f32(v); }
};

}  // namespace

#define QUERN_VECTOR_REGISTER(x) "w"(x)
#include "kernels/cpu/measure/rate-inl.h"

namespace quern::cpu {

const RateLoops kRateNeonDot = {2.0 * kChains * V::kBytes, 2.0 * (V::kBytes / 4.0) * kChains,
                                int8_rate, f32_rate};

}  // namespace quern::cpu
