// IQ3_S: 256 values in 8 groups of 32, 3.44 bits each: 4 values per grid entry (one of 512), 8 sign
// bits per 8 values, 4-bit scale per group. value = (d * (2 * s + 1)) * (grid with signs).
//
//   byte  0  1   2 .... 65   66 .. 73   74 ...... 105   106 .... 109
//         [ d ]  [ qs[64] ]  [ qh[8] ]  [ signs[32]  ]  [ scales[4] ]
//   entry c holds values 4c..4c+3: index qs[c] | bit c % 8 of qh[c / 8] << 8; value v is negative
//   where bit v % 8 of signs[v / 8] is set. Scale s of group g is nibble g % 2 of scales[g / 2].
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockIQ3_S {
  uint16_t d;         // f16 scale of scales
  uint8_t qs[64];     // low 8 bits of the indices
  uint8_t qh[8];      // high bit of the indices
  uint8_t signs[32];  // bit k: value k of the 8 is negative
  uint8_t scales[4];  // nibbles
};
static_assert(sizeof(BlockIQ3_S) == 110, "IQ3_S is 110 bytes");

struct FormatIQ3_S {
  using Block = BlockIQ3_S;
  QUERN_CONST uint32_t kGgufCode = 21;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kIq;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -15;
  QUERN_CONST int kQMax = 15;
  QUERN_CONST int kFactorMin = 1;
  QUERN_CONST int kFactorMax = 31;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    for (int j = 0; j < 8; ++j) {
      const int index = b.qs[8 * group + j] | (((b.qh[group] >> j) & 1) << 8);
      const uint32_t signs = uint32_t(b.signs[4 * group + j / 2]) >> (4 * (j % 2));
      iq_unpack4(kIq3SGrid[index], signs, q + 4 * j);
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d); }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    const int s = (b.scales[group / 2] >> (4 * (group % 2))) & 0x0F;
    return 2 * s + 1;
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }
};

}  // namespace quern::formats
