// Q8_0: 32 values, one f16 scale, 8 bits each. value = q * d. Encoders write -127..127; a file may
// hold -128.
//
//   byte  0  1   2 ........... 33
//         [ d ]  [ q: int8 x 32 ]
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ8_0 {
  uint16_t d;  // f16 scale
  int8_t q[32];
};
static_assert(sizeof(BlockQ8_0) == 34, "Q8_0 is 34 bytes");

struct FormatQ8_0 {
  using Block = BlockQ8_0;
  QUERN_CONST uint32_t kGgufCode = 8;
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
