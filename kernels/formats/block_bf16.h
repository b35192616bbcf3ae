// BF16: the upper half of an IEEE binary32, one value per block.
//
//   bytes 0..1   value bits, little-endian
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockBF16 {
  uint16_t bits;
};
static_assert(sizeof(BlockBF16) == 2, "BF16 is 2 bytes");

struct FormatBF16 {
  using Block = BlockBF16;
  QUERN_CONST uint32_t kGgufCode = 30;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kFloat;
  QUERN_CONST int kBlockValues = 1;
  QUERN_CONST int kGroupValues = 0;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static float to_float(QUERN_BLOCK Block& b) { return float_from_bf16(b.bits); }
};

}  // namespace quern::formats
