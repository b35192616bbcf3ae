// Q1_0: 128 values, one f16 scale, 1 bit each. value = d where the bit is set, -d elsewhere.
//
//   byte  0  1   2 .......................... 17
//         [ d ]  [ qs: value v is bit v % 8 of qs[v / 8] ]
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ1_0 {
  uint16_t d;  // f16 scale
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ1_0) == 18, "Q1_0 is 18 bytes");

struct FormatQ1_0 {
  using Block = BlockQ1_0;
  QUERN_CONST uint32_t kGgufCode = 41;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kSimple;
  QUERN_CONST int kBlockValues = 128;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -1;
  QUERN_CONST int kQMax = 1;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    for (int j = 0; j < 32; ++j) {
      const int bit = (b.qs[4 * group + j / 8] >> (j % 8)) & 1;
      q[j] = int8_t(2 * bit - 1);
    }
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return float_from_f16(b.d);
  }
};

}  // namespace quern::formats
