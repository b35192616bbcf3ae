// Q5_0: 32 values, one f16 scale, 5 bits each. value = (5 bits - 16) * d.
//
//   byte  0  1   2 ........ 5             6 ............................ 21
//         [ d ]  [ qh: bit j = bit 4 ]    [ qs: value j | value j + 16 << 4, j = 0..15 ]
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ5_0 {
  uint16_t d;      // f16 scale
  uint8_t qh[4];   // bit 4 of value j is bit j
  uint8_t qs[16];  // low nibbles
};
static_assert(sizeof(BlockQ5_0) == 22, "Q5_0 is 22 bytes");

struct FormatQ5_0 {
  using Block = BlockQ5_0;
  QUERN_CONST uint32_t kGgufCode = 6;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kSimple;
  QUERN_CONST int kBlockValues = 32;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -16;
  QUERN_CONST int kQMax = 15;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    (void)group;
    for (int j = 0; j < 16; ++j) {
      const int high_a = (b.qh[j / 8] >> (j % 8)) & 1;
      const int high_b = (b.qh[2 + j / 8] >> (j % 8)) & 1;
      q[j] = int8_t(((b.qs[j] & 0x0F) | (high_a << 4)) - 16);
      q[j + 16] = int8_t(((b.qs[j] >> 4) | (high_b << 4)) - 16);
    }
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return float_from_f16(b.d);
  }
};

}  // namespace quern::formats
