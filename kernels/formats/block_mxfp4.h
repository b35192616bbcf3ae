// MXFP4: 32 values in FP4 (E2M1) with one power-of-two scale (E8M0), after the OCP Microscaling
// formats v1.0. GGUF keeps the E2M1 values doubled so that they are integers, and halves the scale:
// value = kFp4Values[nibble] * 2^(e - 128).
//
//   byte  0    1 ............................ 16
//        [ e ] [ qs: value j | value j + 16 << 4, j = 0..15 ]
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockMXFP4 {
  uint8_t e;       // E8M0 exponent
  uint8_t qs[16];  // E2M1 codes
};
static_assert(sizeof(BlockMXFP4) == 17, "MXFP4 is 17 bytes");

struct FormatMXFP4 {
  using Block = BlockMXFP4;
  QUERN_CONST uint32_t kGgufCode = 39;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kMx;
  QUERN_CONST int kBlockValues = 32;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -12;
  QUERN_CONST int kQMax = 12;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    (void)group;
    for (int j = 0; j < 16; ++j) {
      q[j] = kFp4Values[b.qs[j] & 0x0F];
      q[j + 16] = kFp4Values[b.qs[j] >> 4];
    }
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    (void)group;
    return float_from_e8m0_half(b.e);
  }
};

}  // namespace quern::formats
