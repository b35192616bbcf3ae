// IQ2_XS: 256 values in 16 groups of 16, 2.31 bits each: 8 values per grid entry (one of 512), 7
// sign bits per entry, 4-bit scale per group. value = (d * (2 * s + 1) / 8) * (grid with signs).
//
//   byte  0  1   2 ............ 65                   66 ....... 73
//         [ d ]  [ qs: 32 x (index | signs << 9) ]   [ scales[8]  ]
//   entry c holds values 8c..8c+7; scale s of group g is nibble g % 2 of scales[g / 2].
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockIQ2_XS {
  uint16_t d;         // f16 scale of scales
  uint16_t qs[32];    // 9 bits index, 7 bits sign code
  uint8_t scales[8];  // nibbles
};
static_assert(sizeof(BlockIQ2_XS) == 74, "IQ2_XS is 74 bytes");

struct FormatIQ2_XS {
  using Block = BlockIQ2_XS;
  QUERN_CONST uint32_t kGgufCode = 17;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kIq;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 16;
  QUERN_CONST int kQMin = -43;
  QUERN_CONST int kQMax = 43;
  QUERN_CONST int kFactorMin = 1;
  QUERN_CONST int kFactorMax = 31;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    for (int j = 0; j < 2; ++j) {
      const uint32_t code = b.qs[2 * group + j];
      iq_unpack8(kIq2XsGrid[code & 511], iq_sign_byte(code >> 9), q + 8 * j);
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d) * 0.125F; }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    const int s = (b.scales[group / 2] >> (4 * (group % 2))) & 0x0F;
    return 2 * s + 1;
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }
};

}  // namespace quern::formats
