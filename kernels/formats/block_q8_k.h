// Q8_K: 256 values, one f32 scale, 8 bits each, and sums of 16. Other engines use it for
// activations in memory; files do not carry it. value = q * d; bsums is not read.
//
//   byte  0 ... 3   4 ........ 259   260 .............. 291
//         [  d  ]   [ q: int8 x 256 ]  [ bsums: int16 x 16 ]
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockQ8_K {
  float d;
  int8_t q[256];
  int16_t bsums[16];  // sum of q[16 * i .. 16 * i + 15]
};
static_assert(sizeof(BlockQ8_K) == 292, "Q8_K is 292 bytes");

struct FormatQ8_K {
  using Block = BlockQ8_K;
  QUERN_CONST uint32_t kGgufCode = 15;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kK;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -128;
  QUERN_CONST int kQMax = 127;
  QUERN_CONST int kFactorMin = 1;
  QUERN_CONST int kFactorMax = 1;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    for (int j = 0; j < 32; ++j) q[j] = b.q[32 * group + j];
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return b.d; }

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
