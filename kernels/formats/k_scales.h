// The 12 bytes in which Q4_K and Q5_K keep 8 scales and 8 minima of 6 bits.
//
//   bytes 0..3    scale g = 0..3 in bits 0..5;  upper 2 bits of scale g + 4 in bits 6..7
//   bytes 4..7    minimum g = 0..3 in bits 0..5; upper 2 bits of minimum g + 4 in bits 6..7
//   bytes 8..11   lower 4 bits of scale g = 4..7 in the low nibble, of minimum g in the high nibble
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

// Scale of group g (0..7), 0..63.
QUERN_FN int k_scale(QUERN_BLOCK uint8_t* packed, int g) {
  if (g < 4) return packed[g] & 0x3F;
  return (packed[g + 4] & 0x0F) | ((packed[g - 4] >> 6) << 4);
}

// Minimum of group g (0..7), 0..63.
QUERN_FN int k_min(QUERN_BLOCK uint8_t* packed, int g) {
  if (g < 4) return packed[g + 4] & 0x3F;
  return (packed[g + 4] >> 4) | ((packed[g] >> 6) << 4);
}

}  // namespace quern::formats
