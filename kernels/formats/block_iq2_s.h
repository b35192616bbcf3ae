// IQ2_S: 256 values in 16 groups of 16, 2.56 bits each: 8 values per grid entry (one of 1024), 8
// sign bits per entry, 4-bit scale per group. value = (d * (2 * s + 1) / 8) * (grid with signs).
//
//   byte  0  1   2 .... 33   34 ...... 65   66 .. 73   74 ....... 81
//         [ d ]  [ qs[32] ]  [ signs[32] ]  [ qh[8] ]  [ scales[8]  ]
//   entry c holds values 8c..8c+7: index qs[c] | bits 2(c % 4), +1 of qh[c / 4] << 8; signs[c].
//   scale s of group g is nibble g % 2 of scales[g / 2].
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockIQ2_S {
  uint16_t d;         // f16 scale of scales
  uint8_t qs[32];     // low 8 bits of the indices
  uint8_t signs[32];  // bit k: value k of the entry is negative
  uint8_t qh[8];      // high 2 bits of the indices
  uint8_t scales[8];  // nibbles
};
static_assert(sizeof(BlockIQ2_S) == 82, "IQ2_S is 82 bytes");

struct FormatIQ2_S {
  using Block = BlockIQ2_S;
  QUERN_CONST uint32_t kGgufCode = 22;
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
      const int c = 2 * group + j;
      const int index = b.qs[c] | (((b.qh[c / 4] >> (2 * (c % 4))) & 3) << 8);
      iq_unpack8(kIq2SGrid[index], b.signs[c], q + 8 * j);
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
