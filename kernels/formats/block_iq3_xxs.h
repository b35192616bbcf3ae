// IQ3_XXS: 256 values in 8 groups of 32, 3.06 bits each: 4 values per grid entry (one of 256), 7
// sign bits per 8 values, 4-bit scale per group. value = (d * (2 * s + 1) / 4) * (grid with signs).
//
//   byte  0  1   2 ...... 65    66 ............. 97
//         [ d ]  [ qs[64]    ]  [ 8 32-bit words w ]
//   entry c holds values 4c..4c+3. Word g: bits 7j..7j+6 are the sign code of values 8j..8j+7 of
//   group g, bits 28..31 its scale s.
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockIQ3_XXS {
  uint16_t d;         // f16 scale of scales
  uint8_t qs[64];     // indices
  uint8_t words[32];  // 8 x 32 bits of signs and scale
};
static_assert(sizeof(BlockIQ3_XXS) == 98, "IQ3_XXS is 98 bytes");

struct FormatIQ3_XXS {
  using Block = BlockIQ3_XXS;
  QUERN_CONST uint32_t kGgufCode = 18;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kIq;
  QUERN_CONST int kBlockValues = 256;
  QUERN_CONST int kGroupValues = 32;
  QUERN_CONST int kQMin = -62;
  QUERN_CONST int kQMax = 62;
  QUERN_CONST int kFactorMin = 1;
  QUERN_CONST int kFactorMax = 31;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static void unpack_group(QUERN_BLOCK Block& b, int group, QUERN_LOCAL int8_t* q) {
    const uint32_t word = iq_word(b.words + 4 * group);
    for (int j = 0; j < 4; ++j) {
      const uint32_t signs = iq_sign_byte(word >> (7 * j));
      iq_unpack4(kIq3XxsGrid[b.qs[8 * group + 2 * j]], signs, q + 8 * j);
      iq_unpack4(kIq3XxsGrid[b.qs[8 * group + 2 * j + 1]], signs >> 4, q + 8 * j + 4);
    }
  }

  QUERN_FN static float block_scale(QUERN_BLOCK Block& b) { return float_from_f16(b.d) * 0.25F; }

  QUERN_FN static int group_factor(QUERN_BLOCK Block& b, int group) {
    const uint32_t s = iq_word(b.words + 4 * group) >> 28;
    return int(2 * s + 1);
  }

  QUERN_FN static float group_scale(QUERN_BLOCK Block& b, int group) {
    return block_scale(b) * float(group_factor(b, group));
  }
};

}  // namespace quern::formats
