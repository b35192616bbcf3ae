// TQ2_0: 256 values, 2 bits each, one f16 scale. value = (2 bits - 1) * d. Encoders write 0..2; the
// fourth code, 3, decodes to 2 * d.
//
//   byte  0 ....... 63   64 65
//         [ qs[64]    ]  [ d ]
//   value v = 128 * h + 32 * s + i (i < 32): bits 2s, 2s+1 of qs[32 * h + i].
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockTQ2_0 {
  uint8_t qs[64];  // 2-bit codes
  uint16_t d;      // f16 scale
};
static_assert(sizeof(BlockTQ2_0) == 66, "TQ2_0 is 66 bytes");

struct FormatTQ2_0 {
  using Block = BlockTQ2_0;
  QUERN_CONST uint32_t kGgufCode = 35;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kTernary;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -1;
  QUERN_CONST int kQMax = 2;
  QUERN_CONST int kFactorMin = 1;
  QUERN_CONST int kFactorMax = 1;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    const int first = 32 * (group / 4);
    const int shift = 2 * (group % 4);
    for (int j = 0; j < 32; ++j) q[j] = int8_t(((b.qs[first + j] >> shift) & 3) - 1);
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d); }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    (void)b;
    (void)group;
    return 1;
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return block_scale(b);
  }
};

}  // namespace quern::formats
