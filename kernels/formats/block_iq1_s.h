// IQ1_S: 256 values in 8 groups of 32, 1.56 bits each: 8 values in {-1, 0, 1} per grid entry (one
// of 2048), a shift of +-1/8 and a 3-bit scale per group. value = d * (2 * s + 1) * (grid +- 1/8);
// here q = 8 * grid +- 1 and the scale carries the 1/8, which is exact.
//
//   byte  0  1   2 .... 33   34 ........ 49
//         [ d ]  [ qs[32] ]  [ qh: 8 x 16 bits ]
//   entry j of group g (j = 0..3): index qs[4g + j] | bits 3j..3j+2 of qh[g] << 8.
//   qh[g] bits 12..14: scale s; bit 15: the shift is negative.
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockIQ1_S {
  uint16_t d;      // f16 scale of scales
  uint8_t qs[32];  // low 8 bits of the indices
  uint16_t qh[8];  // high bits of 4 indices, scale, sign of the shift
};
static_assert(sizeof(BlockIQ1_S) == 50, "IQ1_S is 50 bytes");

struct FormatIQ1_S {
  using Block = BlockIQ1_S;
  QUERN_CONST uint32_t kGgufCode = 19;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kIq;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -9;
  QUERN_CONST int kQMax = 9;
  QUERN_CONST int kFactorMin = 1;
  QUERN_CONST int kFactorMax = 15;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    const int qh = b.qh[group];
    const int shift = (qh & 0x8000) != 0 ? -1 : 1;
    for (int j = 0; j < 4; ++j) {
      const int index = b.qs[4 * group + j] | (((qh >> (3 * j)) & 7) << 8);
      iq1_unpack8(kIq1Grid[index], shift, q + 8 * j);
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d) * 0.125F; }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    const int s = (b.qh[group] >> 12) & 7;
    return 2 * s + 1;
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }
};

}  // namespace quern::formats
