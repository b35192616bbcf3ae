// Q3_K: 256 values in 16 groups of 16, 3 bits each, 6-bit signed scale per group.
// value = (d * (scale[g] - 32)) * q, q = low 2 bits - (high bit set ? 0 : 4).
//
//   byte  0 ....... 31   32 ...... 95   96 ........ 107   108 109
//         [ hmask[32] ]  [ qs[64]   ]   [ scales[12]  ]   [  d  ]
//   value v = 128 * h + 32 * s + i (i < 32): low bits 2s, 2s+1 of qs[32 * h + i];
//   high bit: bit 4 * h + s of hmask[i].
//   scale g: low 4 bits in nibble g / 8 of scales[g % 8]; high 2 bits at 2 * (g / 4) of
//   scales[8 + g % 4].
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ3_K {
  uint8_t hmask[32];   // high bits
  uint8_t qs[64];      // low 2 bits
  uint8_t scales[12];  // 16 scales of 6 bits
  uint16_t d;          // f16 scale of scales
};
static_assert(sizeof(BlockQ3_K) == 110, "Q3_K is 110 bytes");

struct FormatQ3_K {
  using Block = BlockQ3_K;
  QUERN_CONST uint32_t kGgufCode = 11;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kK;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 16;
  QUERN_CONST int kQMin = -4;
  QUERN_CONST int kQMax = 3;
  QUERN_CONST int kFactorMin = -32;
  QUERN_CONST int kFactorMax = 31;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    const int first = 16 * (group % 2);
    const int low_shift = 2 * ((group % 8) / 2);
    const int high_shift = group / 2;
    for (int j = 0; j < 16; ++j) {
      const int low = (b.qs[32 * (group / 8) + first + j] >> low_shift) & 3;
      const int high = (b.hmask[first + j] >> high_shift) & 1;
      q[j] = int8_t(low - 4 + 4 * high);
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d); }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    const int low = (b.scales[group % 8] >> (4 * (group / 8))) & 0x0F;
    const int high = (b.scales[8 + group % 4] >> (2 * (group / 4))) & 3;
    return (low | (high << 4)) - 32;
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }
};

}  // namespace quern::formats
