// The measured loop, written once over a vector vocabulary V that the including file defines:
//   V::Int, V::Float, V::zero_int(), V::zero_float(), V::set_float(x), V::bytes(seed),
//   V::dot(acc, unsigned bytes, signed bytes), V::fma(a, b, acc), V::sum_int(v), V::sum_float(v)
// Included by files with their own instruction-set flags; everything is in an anonymous namespace.

namespace {

// Accumulators in flight: latency 4-5 cycles times 2 per cycle, with room to spare; together with
// the operands they fit 16 vector registers.
constexpr int kChains = 12;

int64_t int8_rate(int64_t iterations) {
  typename V::Int acc[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) acc[c] = V::zero_int();
  const typename V::Int weights = V::bytes(3);
  const typename V::Int activations = V::bytes(5);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      acc[c] = V::dot(acc[c], weights, activations);
      __asm__ volatile("" : "+" QUERN_VECTOR_REGISTER(acc[c]));
    }
  }
  int64_t sum = 0;
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sum += V::sum_int(acc[c]);
  return sum;
}

float f32_rate(int64_t iterations) {
  typename V::Float acc[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) acc[c] = V::zero_float();
  const typename V::Float x = V::set_float(1.0F);
  const typename V::Float y = V::set_float(0.5F);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      acc[c] = V::fma(x, y, acc[c]);
      __asm__ volatile("" : "+" QUERN_VECTOR_REGISTER(acc[c]));
    }
  }
  float sum = 0;
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sum += V::sum_float(acc[c]);
  return sum;
}

}  // namespace
