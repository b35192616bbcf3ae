// The inverse of the unpack functions of the K and simple formats: where the bits of a code go.
//
// Codes are counted from 0 (a format's lowest) and fit their format; the layouts are pictured in
// the block headers. Always inlined, so that files compiled for one instruction set may use them.
#pragma once

#include <cstdint>

#include "kernels/formats/portable.h"

namespace quern::formats {

// 32 codes: the low 4 bits of the first 16 in the low nibbles, of the rest in the high ones.
template <typename Code>
QUERN_FN void pack_nibbles(const Code* codes, uint8_t* qs) {
  for (int j = 0; j < 16; ++j) {
    qs[j] = static_cast<uint8_t>((codes[j] & 0x0F) | ((codes[j + 16] & 0x0F) << 4));
  }
}

// Bit 4 of 32 codes, as in Q5_0 and Q5_1.
template <typename Code>
QUERN_FN void pack_fifth_bits(const Code* codes, uint8_t* qh) {
  for (int i = 0; i < 4; ++i) {
    int bits = 0;
    for (int j = 0; j < 8; ++j) bits |= ((codes[8 * i + j] >> 4) & 1) << j;
    qh[i] = static_cast<uint8_t>(bits);
  }
}

// 8 scales and 8 minima of 6 bits, see k_scales.h.
template <typename Code>
QUERN_FN void pack_k_scales(const Code* scale, const Code* min, uint8_t* packed) {
  for (int g = 0; g < 4; ++g) {
    const int upper = g + 4;
    packed[g] = static_cast<uint8_t>(scale[g] | ((scale[upper] >> 4) << 6));
    packed[g + 4] = static_cast<uint8_t>(min[g] | ((min[upper] >> 4) << 6));
    packed[g + 8] = static_cast<uint8_t>((scale[upper] & 0x0F) | ((min[upper] & 0x0F) << 4));
  }
}

// Low nibbles of groups 2i, high nibbles of groups 2i + 1, as in Q4_K and Q5_K.
template <typename Code>
QUERN_FN void pack_paired_nibbles(const Code* codes, uint8_t* qs) {
  for (int h = 0; h < 4; ++h) {
    for (int i = 0; i < 32; ++i) {
      const Code* first = codes + 64 * h + i;
      qs[32 * h + i] = static_cast<uint8_t>((first[0] & 0x0F) | ((first[32] & 0x0F) << 4));
    }
  }
}

// Bit 4 of 256 codes, as in Q5_K.
template <typename Code>
QUERN_FN void pack_q5_k_high(const Code* codes, uint8_t* qh) {
  for (int i = 0; i < 32; ++i) {
    int bits = 0;
    for (int g = 0; g < 8; ++g) bits |= ((codes[32 * g + i] >> 4) & 1) << g;
    qh[i] = static_cast<uint8_t>(bits);
  }
}

// The two low bits of 4 values, 32 apart, as in Q2_K, Q3_K and TQ2_0.
template <typename Code>
QUERN_FN void pack_quads(const Code* codes, uint8_t* qs) {
  for (int h = 0; h < 2; ++h) {
    for (int i = 0; i < 32; ++i) {
      const Code* first = codes + 128 * h + i;
      qs[32 * h + i] = static_cast<uint8_t>((first[0] & 3) | ((first[32] & 3) << 2) |
                                            ((first[64] & 3) << 4) | ((first[96] & 3) << 6));
    }
  }
}

// Bit 2 of 256 codes of Q3_K.
template <typename Code>
QUERN_FN void pack_q3_k_high(const Code* codes, uint8_t* hmask) {
  for (int i = 0; i < 32; ++i) {
    int bits = 0;
    for (int s = 0; s < 8; ++s) bits |= ((codes[32 * s + i] >> 2) & 1) << s;
    hmask[i] = static_cast<uint8_t>(bits);
  }
}

// 16 scales of Q3_K, 0..63.
template <typename Code>
QUERN_FN void pack_q3_k_scales(const Code* scale, uint8_t* packed) {
  for (int i = 0; i < 8; ++i) {
    packed[i] = static_cast<uint8_t>((scale[i] & 0x0F) | ((scale[i + 8] & 0x0F) << 4));
  }
  for (int i = 0; i < 4; ++i) {
    packed[8 + i] = static_cast<uint8_t>((scale[i] >> 4) | ((scale[i + 4] >> 4) << 2) |
                                         ((scale[i + 8] >> 4) << 4) | ((scale[i + 12] >> 4) << 6));
  }
}

// 256 codes of Q6_K.
template <typename Code>
QUERN_FN void pack_q6_k(const Code* codes, uint8_t* ql, uint8_t* qh) {
  for (int h = 0; h < 2; ++h) {
    const Code* half = codes + 128 * h;
    for (int i = 0; i < 64; ++i) {
      ql[64 * h + i] = static_cast<uint8_t>((half[i] & 0x0F) | ((half[i + 64] & 0x0F) << 4));
    }
    for (int i = 0; i < 32; ++i) {
      qh[32 * h + i] =
          static_cast<uint8_t>((half[i] >> 4) | ((half[i + 32] >> 4) << 2) |
                               ((half[i + 64] >> 4) << 4) | ((half[i + 96] >> 4) << 6));
    }
  }
}

// 8 scales of IQ4_XS, 0..63: the low nibbles, and the high bits as one word.
template <typename Code>
QUERN_FN uint16_t pack_iq4_xs_scales(const Code* scale, uint8_t* low) {
  int high = 0;
  for (int g = 0; g < 8; ++g) high |= (scale[g] >> 4) << (2 * g);
  for (int i = 0; i < 4; ++i) {
    low[i] = static_cast<uint8_t>((scale[2 * i] & 0x0F) | ((scale[2 * i + 1] & 0x0F) << 4));
  }
  return static_cast<uint16_t>(high);
}

// Up to five base-3 digits, `stride` apart, as the fixed-point fraction that TQ1_0 stores.
template <typename Code>
QUERN_FN uint8_t pack_tq1_digits(const Code* digits, int n_digits, int stride) {
  int number = 0;
  for (int n = 0; n < 5; ++n) number = 3 * number + (n < n_digits ? digits[n * stride] : 0);
  return static_cast<uint8_t>((number * 256 + 242) / 243);  // rounded up, so that digits truncate
}

// 256 digits 0, 1, 2 of TQ1_0.
template <typename Code>
QUERN_FN void pack_tq1(const Code* digits, uint8_t* qs, uint8_t* qh) {
  for (int i = 0; i < 32; ++i) qs[i] = pack_tq1_digits(digits + i, 5, 32);
  for (int i = 0; i < 16; ++i) qs[32 + i] = pack_tq1_digits(digits + 160 + i, 5, 16);
  for (int i = 0; i < 4; ++i) qh[i] = pack_tq1_digits(digits + 240 + i, 4, 4);
}

}  // namespace quern::formats
