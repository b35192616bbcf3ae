// TQ1_0: 256 values in {-1, 0, 1}, five base-3 digits per byte, one f16 scale. value = (digit - 1)
// * d. A byte holds its digits as a fixed-point fraction: digit n is (uint8(byte * 3^n) * 3) >> 8.
//
//   byte  0 ....... 47   48 ... 51   52 53
//         [ qs[48]    ]  [ qh[4] ]   [ d ]
//   values   0..159: digit v / 32 of qs[v % 32]
//   values 160..239: digit u / 16 of qs[32 + u % 16], u = v - 160
//   values 240..255: digit w / 4 of qh[w % 4], w = v - 240
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

// Base-3 digit n (0..4) of a TQ1_0 byte, as -1, 0 or 1.
QUERN_FN int8_t tq1_digit(uint8_t byte, int n) {
  const int power = n == 0 ? 1 : n == 1 ? 3 : n == 2 ? 9 : n == 3 ? 27 : 81;
  return int8_t((((int(byte) * power) & 0xFF) * 3 >> 8) - 1);
}

struct QUERN_PACKED BlockTQ1_0 {
  uint8_t qs[48];  // 5 digits each
  uint8_t qh[4];   // 4 digits each
  uint16_t d;      // f16 scale
};
static_assert(sizeof(BlockTQ1_0) == 54, "TQ1_0 is 54 bytes");

struct FormatTQ1_0 {
  using Block = BlockTQ1_0;
  QUERN_CONST uint32_t kGgufCode = 34;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kTernary;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -1;
  QUERN_CONST int kQMax = 1;
  QUERN_CONST int kFactorMin = 1;
  QUERN_CONST int kFactorMax = 1;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    for (int j = 0; j < 32; ++j) {
      const int v = 32 * group + j;
      if (v < 160) {
        q[j] = tq1_digit(b.qs[j], group);
      } else if (v < 240) {
        q[j] = tq1_digit(b.qs[32 + j % 16], (v - 160) / 16);
      } else {
        q[j] = tq1_digit(b.qh[j % 4], (v - 240) / 4);
      }
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d); }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    (void)b;
    (void)group;
    return 1;
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return block_scale(b);
  }
};

}  // namespace quern::formats
