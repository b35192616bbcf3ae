// Q5_K: 256 values in 8 groups of 32, 5 bits each, 6-bit scale and minimum per group.
// value = (d * sc[g]) * q - dmin * m[g].
//
//   byte  0  1   2  3    4 ....... 15    16 .... 47   48 ....... 175
//         [ d ]  [dmin]  [ scales[12] ]  [ qh[32] ]   [ qs[128]     ]
//   group g, value j: low (g even) or high (g odd) nibble of qs[32 * (g / 2) + j], and bit g of
//   qh[j] as bit 4. The 12 scale bytes are pictured in k_scales.h.
#pragma once

#include "kernels/formats/k_scales.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ5_K {
  uint16_t d;          // f16 scale of scales
  uint16_t dmin;       // f16 scale of minima
  uint8_t scales[12];  // 8 scales and 8 minima of 6 bits, see k_scales.h
  uint8_t qh[32];      // high bits
  uint8_t qs[128];     // low nibbles
};
static_assert(sizeof(BlockQ5_K) == 176, "Q5_K is 176 bytes");

struct FormatQ5_K {
  using Block = BlockQ5_K;
  QUERN_CONST uint32_t kGgufCode = 13;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kK;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = 0;
  QUERN_CONST int kQMax = 31;
  QUERN_CONST int kFactorMin = 0;
  QUERN_CONST int kFactorMax = 63;
  QUERN_CONST bool kHasMin = true;
  QUERN_CONST int kMinFactorMax = 63;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    const int first = 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int j = 0; j < 32; ++j) {
      const int low = (b.qs[first + j] >> shift) & 0x0F;
      const int high = (b.qh[j] >> group) & 1;
      q[j] = int8_t(low | (high << 4));
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d); }

  QUERN_FN static float block_min(QUERN_BLOCK Block& b) { return float_from_f16(b.dmin); }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    return k_scale(b.scales, group);
  }

  QUERN_FN static int group_min_factor(QUERN_BLOCK Block& b, int group) {
    return k_min(b.scales, group);
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }

  QUERN_FN static float group_min(QUERN_BLOCK Block& b, int group) {
    return block_min(b) * float(group_min_factor(b, group));
  }
};

}  // namespace quern::formats
