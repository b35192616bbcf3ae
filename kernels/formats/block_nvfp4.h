// NVFP4: 64 values in FP4 (E2M1) in 4 groups of 16, one unsigned E4M3 scale per group. GGUF keeps
// the E2M1 values doubled and halves the scale; scale codes 0x00 and 0x7F both mean zero, and bit 7
// is ignored. value = kFp4Values[nibble] * scale[g] / 2. A per-tensor scale, where the model has
// one, is a tensor of its own.
//
//   byte  0 ... 3   4 .................................. 35
//         [ d[4] ]  [ qs: group g, value j | value j + 8 << 4 in qs[8 * g + j], j = 0..7 ]
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockNVFP4 {
  uint8_t d[4];    // unsigned E4M3 scales
  uint8_t qs[32];  // E2M1 codes
};
static_assert(sizeof(BlockNVFP4) == 36, "NVFP4 is 36 bytes");

struct FormatNVFP4 {
  using Block = BlockNVFP4;
  QUERN_CONST uint32_t kGgufCode = 40;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kMx;
  QUERN_CONST int kBlockValues = 64;
  QUERN_CONST int kGroupValues = 16;
  QUERN_CONST int kQMin = -12;
  QUERN_CONST int kQMax = 12;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    for (int j = 0; j < 8; ++j) {
      q[j] = kFp4Values[b.qs[8 * group + j] & 0x0F];
      q[j + 8] = kFp4Values[b.qs[8 * group + j] >> 4];
    }
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    const int code = b.d[group];
    const int exponent = (code >> 3) & 0x0F;
    const int mantissa = code & 7;
    if (code == 0x7F) return 0.0F;
    if (exponent == 0) return float(mantissa) * 0x1p-10F;
    return float_bits((uint32_t(exponent + 127 - 8) << 23) | (uint32_t(mantissa) << 20));
  }
};

}  // namespace quern::formats
