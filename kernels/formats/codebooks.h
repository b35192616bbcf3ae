// The constant tables of the IQ and FP4 formats, and how grid entries and signs become values.
//
// The numbers live in codebook_tables.inc (written by make_codebooks.py). C++ links one copy from
// codebooks.cc; GPU sources, which cannot reach host memory, get their own.
#pragma once

#include "kernels/formats/portable.h"

namespace quern::formats {

#if defined(__CUDACC__) || defined(__METAL_VERSION__)
#include "kernels/formats/codebook_tables.inc"
#else
extern const int8_t kIq4Values[16];
extern const int8_t kFp4Values[16];
extern const uint64_t kIq2XxsGrid[256];
extern const uint64_t kIq2XsGrid[512];
extern const uint64_t kIq2SGrid[1024];
extern const uint32_t kIq3XxsGrid[256];
extern const uint32_t kIq3SGrid[512];
extern const uint64_t kIq1Grid[2048];
#endif

// Four unaligned little-endian bytes.
QUERN_FN uint32_t iq_word(QUERN_BLOCK uint8_t* p) {
  return uint32_t(p[0]) | (uint32_t(p[1]) << 8) | (uint32_t(p[2]) << 16) | (uint32_t(p[3]) << 24);
}

// The 8 signs behind a 7-bit code (upper bits are ignored): bit 7 makes the number of minus signs
// even.
QUERN_FN uint32_t iq_sign_byte(uint32_t code) {
  const uint32_t seven = code & 0x7F;
  uint32_t parity = seven ^ (seven >> 4);
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return seven | ((parity & 1) << 7);
}

// Writes the 8 bytes of a grid entry, negated where bit k of `signs` is set.
QUERN_FN void iq_unpack8(uint64_t entry, uint32_t signs, QUERN_LOCAL int8_t* q) {
  for (int k = 0; k < 8; ++k) {
    const int value = int((entry >> (8 * k)) & 0xFF);
    q[k] = int8_t(((signs >> k) & 1) != 0 ? -value : value);
  }
}

// The same for entries of 4 bytes.
QUERN_FN void iq_unpack4(uint32_t entry, uint32_t signs, QUERN_LOCAL int8_t* q) {
  for (int k = 0; k < 4; ++k) {
    const int value = int((entry >> (8 * k)) & 0xFF);
    q[k] = int8_t(((signs >> k) & 1) != 0 ? -value : value);
  }
}

// Writes the 8 signed bytes of an IQ1 entry, each moved by `shift` (+1 or -1).
QUERN_FN void iq1_unpack8(uint64_t entry, int shift, QUERN_LOCAL int8_t* q) {
  for (int k = 0; k < 8; ++k) q[k] = int8_t(int8_t((entry >> (8 * k)) & 0xFF) + shift);
}

}  // namespace quern::formats
