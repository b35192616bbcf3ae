// Q4_1: 32 values, f16 scale and f16 offset, 4 bits each. value = nibble * d + m; the group's
// minimum is -m, and subtracting it is the same operation as adding m.
//
//   byte  0  1   2  3   4 ............................ 19
//         [ d ]  [ m ]  [ qs: value j | value j + 16 << 4, j = 0..15 ]
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ4_1 {
  uint16_t d;      // f16 scale
  uint16_t m;      // f16 offset
  uint8_t qs[16];  // nibbles
};
static_assert(sizeof(BlockQ4_1) == 20, "Q4_1 is 20 bytes");

struct FormatQ4_1 {
  using Block = BlockQ4_1;
  QUERN_CONST uint32_t kGgufCode = 3;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kSimple;
  QUERN_CONST int kBlockValues = 32;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = 0;
  QUERN_CONST int kQMax = 15;
  QUERN_CONST bool kHasMin = true;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    (void)group;
    for (int j = 0; j < 16; ++j) {
      q[j] = int8_t(b.qs[j] & 0x0F);
      q[j + 16] = int8_t(b.qs[j] >> 4);
    }
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return float_from_f16(b.d);
  }

  QUERN_FN static float group_min(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return -float_from_f16(b.m);
  }
};

}  // namespace quern::formats
