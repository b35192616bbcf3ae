// F64: IEEE binary64, one value per block; decoded by rounding to the nearest float. Host only
// (Metal has no double); models store a few small tensors in it at most.
//
//   bytes 0..7   value, little-endian
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

struct QUERN_PACKED BlockF64 {
  double value;
};
static_assert(sizeof(BlockF64) == 8, "F64 is 8 bytes");

struct FormatF64 {
  using Block = BlockF64;
  QUERN_CONST uint32_t kGgufCode = 28;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kFloat;
  QUERN_CONST int kBlockValues = 1;
  QUERN_CONST int kGroupValues = 0;
  QUERN_CONST bool kHasMin = false;

  QUERN_FN static float to_float(QUERN_BLOCK Block& b) { return static_cast<float>(b.value); }
};

}  // namespace quern::formats
