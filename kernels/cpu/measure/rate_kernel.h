// The inner loops of the rate measurement, one set per instruction set.
//
// Each keeps enough independent accumulators in registers to hide the latency of its instruction
// and touches no memory, so that the arithmetic units are the limit. Included by files with their
// own instruction-set flags, so it holds nothing but plain data.
#pragma once

#include <cstdint>

namespace quern::cpu {

struct RateLoops {
  double int8_operations;  // per iteration; a multiply and an add count as two
  double f32_operations;   // per iteration
  // Run `iterations` and return something that depends on all results, so that nothing is dropped.
  int64_t (*int8)(int64_t iterations);
  float (*f32)(int64_t iterations);
};

// The same for a tile unit, which multiplies integers only.
struct TileRateLoop {
  double int8_operations;
  int64_t (*int8)(int64_t iterations);
};

extern const RateLoops kRateScalar;
extern const RateLoops kRateAvx2;
extern const RateLoops kRateAvxVnni;
extern const RateLoops kRateAvx512;
extern const RateLoops kRateAvx512Vnni;
extern const RateLoops kRateNeonDot;
extern const TileRateLoop kRateAmxInt8;

}  // namespace quern::cpu
