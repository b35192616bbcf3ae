// Q8_1: 32 values, f16 scale, 8 bits each, and d * sum(q) kept for kernels that want it. Other
// engines use it for activations in memory; files do not carry it. value = q * d; s is not read.
// The layout is today's (two f16, 36 bytes); until 2023 both were f32 (40 bytes).
//
//   byte  0  1   2  3   4 ........... 35
//         [ d ]  [ s ]  [ q: int8 x 32 ]
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ8_1 {
  uint16_t d;  // f16 scale
  uint16_t s;  // f16 d * sum(q)
  int8_t q[32];
};
static_assert(sizeof(BlockQ8_1) == 36, "Q8_1 is 36 bytes");

struct FormatQ8_1 {
  using Block = BlockQ8_1;
  QUERN_CONST uint32_t kGgufCode = 9;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kSimple;
  QUERN_CONST int kBlockValues = 32;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -128;
  QUERN_CONST int kQMax = 127;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    (void)group;
    for (int j = 0; j < 32; ++j) q[j] = b.q[j];
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return float_from_f16(b.d);
  }
};

}  // namespace quern::formats
