// F32: plain IEEE binary32, one value per block.
//
//   bytes 0..3   value, little-endian
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockF32 {
  float value;
};
static_assert(sizeof(BlockF32) == 4, "F32 is 4 bytes");

struct FormatF32 {
  using Block = BlockF32;
  QUERN_CONST uint32_t kGgufCode = 0;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kFloat;
  QUERN_CONST int kBlockValues = 1;
  QUERN_CONST int kGroupValues = 0;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static float to_float(QUERN_BLOCK Block& b) { return b.value; }
};

}  // namespace quern::formats
