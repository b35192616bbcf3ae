// IQ4_NL: 32 values, one f16 scale, 4 bits each that index a table of 16 uneven steps.
// value = kIq4Values[nibble] * d.
//
//   byte  0  1   2 ............................ 17
//         [ d ]  [ qs: value j | value j + 16 << 4, j = 0..15 ]
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockIQ4_NL {
  uint16_t d;      // f16 scale
  uint8_t qs[16];  // table indices
};
static_assert(sizeof(BlockIQ4_NL) == 18, "IQ4_NL is 18 bytes");

struct FormatIQ4_NL {
  using Block = BlockIQ4_NL;
  QUERN_CONST uint32_t kGgufCode = 20;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kIq;
  QUERN_CONST int kBlockValues = 32;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -127;
  QUERN_CONST int kQMax = 113;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    (void)group;
    for (int j = 0; j < 16; ++j) {
      q[j] = kIq4Values[b.qs[j] & 0x0F];
      q[j + 16] = kIq4Values[b.qs[j] >> 4];
    }
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return float_from_f16(b.d);
  }
};

}  // namespace quern::formats
