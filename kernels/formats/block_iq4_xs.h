// IQ4_XS: 256 values in 8 groups of 32, 4-bit indices into IQ4_NL's table, 6-bit signed scale per
// group. value = (d * (scale[g] - 32)) * kIq4Values[nibble].
//
//   byte  0  1   2 ...... 3    4 ......... 7     8 ....... 135
//         [ d ]  [ scales_h ]  [ scales_l[4] ]   [ qs[128]    ]
//   group g: low nibbles of qs[16 * g + 0..15] are its first 16 values, high nibbles the rest.
//   scale g: nibble g % 2 of scales_l[g / 2], and bits 2g, 2g+1 of scales_h above it.
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockIQ4_XS {
  uint16_t d;           // f16 scale of scales
  uint16_t scales_h;    // high 2 bits of 8 scales
  uint8_t scales_l[4];  // low 4 bits of 8 scales
  uint8_t qs[128];      // table indices
};
static_assert(sizeof(BlockIQ4_XS) == 136, "IQ4_XS is 136 bytes");

struct FormatIQ4_XS {
  using Block = BlockIQ4_XS;
  QUERN_CONST uint32_t kGgufCode = 23;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kIq;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -127;
  QUERN_CONST int kQMax = 113;
  QUERN_CONST int kFactorMin = -32;
  QUERN_CONST int kFactorMax = 31;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    for (int j = 0; j < 16; ++j) {
      q[j] = kIq4Values[b.qs[16 * group + j] & 0x0F];
      q[j + 16] = kIq4Values[b.qs[16 * group + j] >> 4];
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d); }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    const int low = (b.scales_l[group / 2] >> (4 * (group % 2))) & 0x0F;
    const int high = (b.scales_h >> (2 * group)) & 3;
    return (low | (high << 4)) - 32;
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }
};

}  // namespace quern::formats
