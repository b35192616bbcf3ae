// I8, I16, I32, I64: two's complement integers, little-endian, one value per block. They carry
// indices and tables, never weights, so they have sizes but no conversion to float.
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

template <typename Integer, uint32_t code>
struct FormatInteger {
  struct QUERN_PACKED Block {
    Integer value;
  };
  QUERN_CONST uint32_t kGgufCode = code;
  QUERN_CONST FormatFamily kFamily = FormatFamily::kInteger;
  QUERN_CONST int kBlockValues = 1;
  QUERN_CONST int kGroupValues = 0;
  QUERN_CONST bool kHasMin = false;
};

using FormatI8 = FormatInteger<int8_t, 24>;
using FormatI16 = FormatInteger<int16_t, 25>;
using FormatI32 = FormatInteger<int32_t, 26>;
using FormatI64 = FormatInteger<int64_t, 27>;
static_assert(sizeof(FormatI8::Block) == 1 && sizeof(FormatI16::Block) == 2);
static_assert(sizeof(FormatI32::Block) == 4 && sizeof(FormatI64::Block) == 8);

}  // namespace quern::formats
