// Q4_0: 32 values, one f16 scale, 4 bits each. value = (nibble - 8) * d.
//
//   byte  0  1   2 ............................ 17
//         [ d ]  [ qs: value j | value j + 16 << 4, j = 0..15 ]
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ4_0 {
  uint16_t d;      // f16 scale
  uint8_t qs[16];  // nibbles
};
static_assert(sizeof(BlockQ4_0) == 18, "Q4_0 is 18 bytes");

struct FormatQ4_0 {
  using Block = BlockQ4_0;
  QUERN_CONST uint32_t kGgufCode = 2;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kSimple;
  QUERN_CONST int kBlockValues = 32;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -8;
  QUERN_CONST int kQMax = 7;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    (void)group;
    for (int j = 0; j < 16; ++j) {
      q[j] = int8_t((b.qs[j] & 0x0F) - 8);
      q[j + 16] = int8_t((b.qs[j] >> 4) - 8);
    }
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return float_from_f16(b.d);
  }
};

}  // namespace quern::formats
