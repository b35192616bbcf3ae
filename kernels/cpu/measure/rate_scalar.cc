// Plain C++: the ceiling on a machine without any of the listed instruction sets.
#include "kernels/cpu/measure/rate_kernel.h"

namespace {

struct V {
  using Int = int32_t;
  using Float = float;
  static Int zero_int() { return 0; }
  static Float zero_float() { return 0; }
  static Float set_float(float x) { return x; }
  static Int bytes(int seed) { return seed; }
  static Int dot(Int acc, Int a, Int b) { return acc + a * b; }
  static Float fma(Float a, Float b, Float acc) { return a * b + acc; }
  static int64_t sum_int(Int v) { return v; }
  static float sum_float(Float v) { return v; }
};

}  // namespace

// Any register class: integers and floats live in different ones.
#define QUERN_VECTOR_REGISTER(x) "g"(x)
#include "kernels/cpu/measure/rate-inl.h"

namespace quern::cpu {

const RateLoops kRateScalar = {2.0 * kChains, 2.0 * kChains, int8_rate, f32_rate};

}  // namespace quern::cpu
