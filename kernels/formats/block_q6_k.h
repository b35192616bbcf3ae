// Q6_K: 256 values in 16 groups of 16, 6 bits each, 8-bit signed scale per group.
// value = (d * scales[g]) * (6 bits - 32).
//
//   byte  0 ....... 127   128 ...... 191   192 ........ 207   208 209
//         [ ql[128]   ]   [ qh[64]     ]   [ scales[16]   ]   [  d  ]
//   value v = 128 * h + r (r < 128): low 4 bits in nibble r / 64 of ql[64 * h + r % 64], high
//   2 bits at 2 * (r / 32) of qh[32 * h + r % 32].
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ6_K {
  uint8_t ql[128];    // low 4 bits
  uint8_t qh[64];     // high 2 bits
  int8_t scales[16];  // signed scales
  uint16_t d;         // f16 scale of scales
};
static_assert(sizeof(BlockQ6_K) == 210, "Q6_K is 210 bytes");

struct FormatQ6_K {
  using Block = BlockQ6_K;
  QUERN_CONST uint32_t kGgufCode = 14;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kK;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 16;
  QUERN_CONST int kQMin = -32;
  QUERN_CONST int kQMax = 31;
  QUERN_CONST int kFactorMin = -128;
  QUERN_CONST int kFactorMax = 127;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    const int half = group / 8;
    const int r = 16 * (group % 8);
    const int low_shift = 4 * (r / 64);
    const int high_shift = 2 * (r / 32);
    for (int j = 0; j < 16; ++j) {
      const int low = (b.ql[64 * half + r % 64 + j] >> low_shift) & 0x0F;
      const int high = (b.qh[32 * half + r % 32 + j] >> high_shift) & 3;
      q[j] = int8_t((low | (high << 4)) - 32);
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d); }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) { return b.scales[group]; }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }
};

}  // namespace quern::formats
