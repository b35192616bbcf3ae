// IQ2_XXS: 256 values in 8 groups of 32, 2.06 bits each: 8 values per grid entry (one of 256), 7
// sign bits per entry, 4-bit scale per group. value = (d * (2 * s + 1) / 8) * (grid with signs).
//
//   byte  0  1   2 ................................ 65
//         [ d ]  [ 8 groups of 8 bytes: 4 entry indices, then a 32-bit word w ]
//   w: bits 7j..7j+6 are the sign code of entry j (j = 0..3), bits 28..31 the scale s.
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockIQ2_XXS {
  uint16_t d;      // f16 scale of scales
  uint8_t qs[64];  // 8 x (4 indices, 4 bytes of signs and scale)
};
static_assert(sizeof(BlockIQ2_XXS) == 66, "IQ2_XXS is 66 bytes");

struct FormatIQ2_XXS {
  using Block = BlockIQ2_XXS;
  QUERN_CONST uint32_t kGgufCode = 16;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kIq;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -43;
  QUERN_CONST int kQMax = 43;
  QUERN_CONST int kFactorMin = 1;
  QUERN_CONST int kFactorMax = 31;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    const uint32_t word = iq_word(b.qs + 8 * group + 4);
    for (int j = 0; j < 4; ++j) {
      const uint32_t signs = iq_sign_byte(word >> (7 * j));
      iq_unpack8(kIq2XxsGrid[b.qs[8 * group + j]], signs, q + 8 * j);
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d) * 0.125F; }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    const uint32_t s = iq_word(b.qs + 8 * group + 4) >> 28;
    return int(2 * s + 1);
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }
};

}  // namespace quern::formats
