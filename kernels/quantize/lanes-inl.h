// Vectors of kLanes floats that hold the same quantity of kLanes groups of values.
//
// A file that includes this has set kLanes to what one register of its instruction set holds. Lanes
// never meet: what a group is encoded to depends neither on its neighbours nor on kLanes, so every
// instruction set gives the same bytes. Vector extensions of GCC and Clang instead of intrinsics:
// nothing here needs more than the four operations, comparison and choice.
#pragma once

#include <cstdint>

// QUERN_LANE_FN: operations on lanes, always inlined. QUERN_LANE_PART and, behind the parameters of
// a lambda, QUERN_LANE_LAMBDA: pieces of an encoder, inlined too except where QUERN_SMALL_CODE is
// defined (sanitized builds: with their checks, whole encoders as one function take the compiler
// minutes).
#define QUERN_LANE_FN __attribute__((always_inline)) inline
#ifdef QUERN_SMALL_CODE
#define QUERN_LANE_PART inline
#define QUERN_LANE_LAMBDA
#else
#define QUERN_LANE_PART QUERN_LANE_FN
#define QUERN_LANE_LAMBDA __attribute__((always_inline))
#endif

namespace quern::quantize {
namespace {

// may_alias: memory of floats is read and written through it.
using Lanes = float __attribute__((vector_size(4 * kLanes), may_alias));
using Mask = int32_t __attribute__((vector_size(4 * kLanes)));

QUERN_LANE_FN Lanes splat(float value) { return Lanes{} + value; }
// At any multiple of kLanes of an array that is aligned to 64 bytes.
QUERN_LANE_FN Lanes load(const float* p) { return *reinterpret_cast<const Lanes*>(p); }
QUERN_LANE_FN void store(float* p, Lanes v) { *reinterpret_cast<Lanes*>(p) = v; }
QUERN_LANE_FN Lanes select(Mask mask, Lanes a, Lanes b) { return mask ? a : b; }
// b if either is NaN.
QUERN_LANE_FN Lanes smaller(Lanes a, Lanes b) { return a < b ? a : b; }
QUERN_LANE_FN Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }
QUERN_LANE_FN Lanes magnitude(Lanes a) { return a < 0.0F ? -a : a; }
// 1 / a, and 0 where a is 0.
QUERN_LANE_FN Lanes inverse_or_zero(Lanes a) {
  const Mask zero = a == 0.0F;
  return select(zero, splat(0.0F), 1.0F / select(zero, splat(1.0F), a));
}
// To nearest, ties to even, of values below 2^22 in magnitude: the sum has no fraction bits left.
QUERN_LANE_FN Lanes rounded(Lanes a) { return (a + 0x1.8p23F) - 0x1.8p23F; }
// NaN gives low.
QUERN_LANE_FN Lanes clamped(Lanes a, float low, float high) {
  return smaller(larger(a, splat(low)), splat(high));
}

}  // namespace
}  // namespace quern::quantize
