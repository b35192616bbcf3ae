// Q2_K: 256 values in 16 groups of 16, 2 bits each, 4-bit scale and minimum per group.
// value = (d * (scales[g] & 15)) * q - dmin * (scales[g] >> 4).
//
//   byte  0 ............ 15   16 ........... 79   80 81   82  83
//         [ scales[16]    ]   [ qs[64]        ]   [ d ]   [ dmin ]
//   value v = 128 * h + 32 * s + i (i < 32): bits 2s, 2s+1 of qs[32 * h + i].
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ2_K {
  uint8_t scales[16];  // low nibble: scale, high nibble: minimum
  uint8_t qs[64];      // 2-bit values
  uint16_t d;          // f16 scale of scales
  uint16_t dmin;       // f16 scale of minima
};
static_assert(sizeof(BlockQ2_K) == 84, "Q2_K is 84 bytes");

struct FormatQ2_K {
  using Block = BlockQ2_K;
  QUERN_CONST uint32_t kGgufCode = 10;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kK;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 16;
  QUERN_CONST int kQMin = 0;
  QUERN_CONST int kQMax = 3;
  QUERN_CONST int kFactorMin = 0;
  QUERN_CONST int kFactorMax = 15;
  QUERN_CONST bool kHasMin = true;
  QUERN_CONST int kMinFactorMax = 15;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    const int first = 32 * (group / 8) + 16 * (group % 2);
    const int shift = 2 * ((group % 8) / 2);
    for (int j = 0; j < 16; ++j) q[j] = int8_t((b.qs[first + j] >> shift) & 3);
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d); }

  QUERN_FN static float block_min(QUERN_BLOCK Block& b) { return float_from_f16(b.dmin); }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    return b.scales[group] & 0x0F;
  }

  QUERN_FN static int group_min_factor(QUERN_BLOCK Block& b, int group) {
    return b.scales[group] >> 4;
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }

  QUERN_FN static float group_min(QUERN_BLOCK Block& b, int group) {
    return block_min(b) * float(group_min_factor(b, group));
  }
};

}  // namespace quern::formats
