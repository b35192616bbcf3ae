// IQ1_M: 256 values in 16 groups of 16, 1.75 bits each: 8 values in {-1, 0, 1} per grid entry (one
// of 2048), a shift of +-1/8 per entry, a 3-bit scale per group; the f16 scale of scales is spread
// over the upper nibbles of the four scale words. value = d * (2 * s + 1) * (grid +- 1/8); here
// q = 8 * grid +- 1 and the scale carries the 1/8, which is exact.
//
//   byte  0 .... 31   32 .... 47   48 ............. 55
//         [ qs[32] ]  [ qh[16] ]   [ scales: 4 x 16 bits ]
//   entry c holds values 8c..8c+7: nibble n = c % 2 of qh[c / 2]: bits 0..2 extend the index qs[c],
//   bit 3: the shift is negative. Scale s of group g: bits 3(g % 4), +2 of scales[g / 4].
//   d, from its low nibble up: bits 12..15 of scales[0], [1], [2], [3].
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockIQ1_M {
  uint8_t qs[32];      // low 8 bits of the indices
  uint8_t qh[16];      // high 3 bits of the indices, sign of the shift
  uint16_t scales[4];  // 4 scales of 3 bits, a nibble of d
};
static_assert(sizeof(BlockIQ1_M) == 56, "IQ1_M is 56 bytes");

struct FormatIQ1_M {
  using Block = BlockIQ1_M;
  QUERN_CONST uint32_t kGgufCode = 29;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kIq;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 16;
  QUERN_CONST int kQMin = -9;
  QUERN_CONST int kQMax = 9;
  QUERN_CONST int kFactorMin = 1;
  QUERN_CONST int kFactorMax = 15;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    for (int j = 0; j < 2; ++j) {
      const int nibble = (b.qh[group] >> (4 * j)) & 0x0F;
      const int index = b.qs[2 * group + j] | ((nibble & 7) << 8);
      iq1_unpack8(kIq1Grid[index], (nibble & 8) != 0 ? -1 : 1, q + 8 * j);
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) {
    const int d = (b.scales[0] >> 12) | ((b.scales[1] >> 8) & 0x00F0) |
                  ((b.scales[2] >> 4) & 0x0F00) | (b.scales[3] & 0xF000);
    return float_from_f16(uint16_t(d)) * 0.125F;
  }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    const int s = (b.scales[group / 4] >> (3 * (group % 4))) & 7;
    return 2 * s + 1;
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }
};

}  // namespace quern::formats
