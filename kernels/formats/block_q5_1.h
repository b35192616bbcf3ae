// Q5_1: 32 values, f16 scale and f16 offset, 5 bits each. value = 5 bits * d + m; the group's
// minimum is -m, and subtracting it is the same operation as adding m.
//
//   byte  0  1   2  3   4 ........ 7             8 ............................ 23
//         [ d ]  [ m ]  [ qh: bit j = bit 4 ]    [ qs: value j | value j + 16 << 4, j = 0..15 ]
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ5_1 {
  uint16_t d;      // f16 scale
  uint16_t m;      // f16 offset
  uint8_t qh[4];   // bit 4 of value j is bit j
  uint8_t qs[16];  // low nibbles
};
static_assert(sizeof(BlockQ5_1) == 24, "Q5_1 is 24 bytes");

struct FormatQ5_1 {
  using Block = BlockQ5_1;
  QUERN_CONST uint32_t kGgufCode = 7;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kSimple;
  QUERN_CONST int kBlockValues = 32;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = 0;
  QUERN_CONST int kQMax = 31;
  QUERN_CONST bool kHasMin = true;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    (void)group;
    for (int j = 0; j < 16; ++j) {
      const int high_a = (b.qh[j / 8] >> (j % 8)) & 1;
      const int high_b = (b.qh[2 + j / 8] >> (j % 8)) & 1;
      q[j] = int8_t((b.qs[j] & 0x0F) | (high_a << 4));
      q[j + 16] = int8_t((b.qs[j] >> 4) | (high_b << 4));
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
