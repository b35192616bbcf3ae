// Panel unpackers of the IQ2 and IQ3 formats: entries of a codebook of magnitudes, with signs.
// Included by unpack-inl.h.
//
// Indices and sign bits are put together in vectors, one row per lane; only the look-up in a
// codebook too large for a register goes lane by lane (n_lookup32, n_lookup64).
#pragma once

#include "kernels/cpu/unpack-inl.h"

namespace quern::cpu {
namespace {

// Codebook formats have Unpacker::kLooksUp: with their look-ups, a whole block in registers would
// be too much code to stay in the instruction cache, so that one column goes through the panel as
// well and the loops over a block are left as loops.

// Room for magnitudes up to 62.
inline constexpr int kGridShift = 6;

// `magnitudes` as panel bytes, negative where the bit in nibble `nibble` of `signs` is set.
template <int nibble>
QUERN_PART NI with_signs(NI magnitudes, NI signs, NI base) {
  return n_select_bits<nibble>(signs, n_add_bytes(base, magnitudes), n_sub_bytes(base, magnitudes));
}

// The 8 values of an entry, with the signs in byte `byte` of `signs`.
template <int byte, typename Out>
QUERN_PART void put_entry8(const uint64_t* grid, NI index, NI signs, int value, Out& out) {
  NI low;
  NI high;
  n_lookup64(grid, index, &low, &high);
  const NI base = signed_base(kGridShift);
  out.put_q(value, with_signs<2 * byte>(low, signs, base));
  out.put_q(value + 4, with_signs<2 * byte + 1>(high, signs, base));
}

// Bytes of 7 sign bits with the eighth, which makes the number of minus signs even (iq_sign_byte).
QUERN_PART NI even_signs(NI seven) {
  // Bit 7 for the nibbles with an odd number of ones.
  alignas(16) static constexpr int8_t kOdd[16] = {0,    -128, -128, 0,    -128, 0,    0,    -128,
                                                  -128, 0,    0,    -128, 0,    -128, -128, 0};
  const NI folded = n_and(n_xor(seven, n_shr<4>(seven)), byte_mask(0x0F));
  return n_or(seven, n_lookup(n_table16(kOdd), folded));
}
// The four sign bytes behind the four 7-bit codes in the low 28 bits of a lane.
QUERN_PART NI four_sign_bytes(NI word) {
  const NI first = n_and(word, n_set_int(0x7F));
  const NI second = n_and(n_shl<1>(word), n_set_int(0x7F00));
  const NI third = n_and(n_shl<2>(word), n_set_int(0x7F0000));
  const NI fourth = n_and(n_shl<3>(word), n_set_int(0x7F000000));
  return even_signs(n_or(n_or(first, second), n_or(third, fourth)));
}

// The codebook of an IQ3 format: entries of 4 magnitudes, of which there are 8.
template <int entries, int first, int step>
struct Iq3Book {
  static constexpr int kEntries = entries;
  const uint32_t* grid;
#ifdef QUERN_LOOKUP_WORDS
  // The same with a nibble for each magnitude v: (v - first) / step.
  alignas(64) uint16_t codes[entries];
  alignas(16) int8_t magnitudes[16];

  constexpr Iq3Book(const uint32_t* linked, const uint32_t (&known)[entries])
      : grid(linked), codes{}, magnitudes{} {
    for (int e = 0; e < entries; ++e) {
      for (int k = 0; k < 4; ++k) {
        const int v = static_cast<int>((known[e] >> (8 * k)) & 0xFF);
        const int code = (v - first) / step;
        codes[e] = static_cast<uint16_t>(codes[e] | code << (4 * k));
        magnitudes[code] = static_cast<int8_t>(v);
      }
    }
  }
#else
  constexpr Iq3Book(const uint32_t* linked, const uint32_t (&)[entries]) : grid(linked) {}
#endif
};
// The tables as constants of the compiler.
namespace iq3 {
#pragma push_macro("QUERN_TABLE")
#undef QUERN_TABLE
#define QUERN_TABLE [[maybe_unused]] constexpr
#include "kernels/formats/codebook_tables.inc"
#pragma pop_macro("QUERN_TABLE")
}  // namespace iq3
inline constexpr Iq3Book<256, 4, 8> kIq3XxsBook(formats::kIq3XxsGrid, iq3::kIq3XxsGrid);
inline constexpr Iq3Book<512, 1, 2> kIq3SBook(formats::kIq3SGrid, iq3::kIq3SGrid);

#ifdef QUERN_LOOKUP_WORDS
// Bytes of the four nibbles in the low or high 16 bits of each lane, looked up.
template <int half>
QUERN_PART NI magnitudes_of(NI magnitudes, NI words) {
  constexpr int8_t h = 2 * half;
  alignas(16) static constexpr int8_t kOrder[16] = {h,      h,      h + 1,  h + 1, h + 4, h + 4,
                                                    h + 5,  h + 5,  h + 8,  h + 8, h + 9, h + 9,
                                                    h + 12, h + 12, h + 13, h + 13};
  const NI twice = n_lookup(words, n_table16(kOrder));
  const NI low = n_and(twice, n_set_int(0x000F000F));
  return n_lookup(magnitudes, n_or(low, n_and(n_shr<4>(twice), n_set_int(0x0F000F00))));
}
#endif

// The magnitudes of four entries: low 8 bits of the index in each byte of a lane, bit 8 in bits 0
// to 3 of `ninth`.
template <typename Book>
QUERN_PART void look_up_four(const Book& book, NI bytes, NI ninth, NI* q) {
#ifdef QUERN_LOOKUP_WORDS
  NI even = n_and(bytes, n_set_int(0x00FF00FF));
  NI odd = n_and(n_shr<8>(bytes), n_set_int(0x00FF00FF));
  if constexpr (Book::kEntries > 256) {
    const NI first = n_set_int(0x00000100);
    const NI second = n_set_int(0x01000000);
    even = n_or(even, n_or(n_and(n_shl<8>(ninth), first), n_and(n_shl<22>(ninth), second)));
    odd = n_or(odd, n_or(n_and(n_shl<7>(ninth), first), n_and(n_shl<21>(ninth), second)));
  }
  even = n_lookup_words<Book::kEntries>(book.codes, even);
  odd = n_lookup_words<Book::kEntries>(book.codes, odd);
  const NI magnitudes = n_table16(book.magnitudes);
  q[0] = magnitudes_of<0>(magnitudes, even);
  q[1] = magnitudes_of<0>(magnitudes, odd);
  q[2] = magnitudes_of<1>(magnitudes, even);
  q[3] = magnitudes_of<1>(magnitudes, odd);
#else
  unrolled<0, 4>([&](auto entry) {
    constexpr int kEntry = decltype(entry)::value;
    NI index = byte_of<kEntry>(bytes);
    if constexpr (Book::kEntries > 256) {
      index = n_or(index, n_and(n_shl<8 - kEntry>(ninth), n_set_int(0x100)));
    }
    q[kEntry] = n_lookup32(book.grid, index);
  });
#endif
}

// The 32 values of a group: indices in the bytes of two lanes, bit 8 of them in the low byte of
// `ninth`, sign bytes in a third.
template <typename Book, typename Out>
QUERN_PART void put_iq3_group(const Book& book, const NI* bytes, NI ninth, NI signs, NI base,
                              int value, Out& out) {
  unrolled<0, 2>([&](auto half) QUERN_PART_LAMBDA {
    constexpr int kHalf = decltype(half)::value;
    NI q[4];
    look_up_four(book, bytes[kHalf], n_shr<4 * kHalf>(ninth), q);
    unrolled<0, 4>([&](auto entry) QUERN_PART_LAMBDA {
      constexpr int kEntry = 4 * kHalf + decltype(entry)::value;
      out.put_q(value + 4 * kEntry, with_signs<kEntry>(q[kEntry % 4], signs, base));
    });
  });
}

// 2 * s + 1.
QUERN_PART NI odd_factor(NI s) { return n_add_int(n_add_int(s, s), n_set_int(1)); }
// Factors of 8 groups from the nibbles of a lane, lowest first.
template <int nibble = 0, typename Out>
QUERN_PART void put_odd_factors(NI nibbles, int group, Out& out) {
  const NI s = n_and(n_shr<4 * nibble>(nibbles), n_set_int(0x0F));
  out.put_factor(group + nibble, odd_factor(s));
  if constexpr (nibble < 7) put_odd_factors<nibble + 1>(nibbles, group, out);
}
// The scale of a block: an f16 times a power of two, exact.
template <typename Out>
QUERN_PART void put_scaled(NF d, float step, Out& out) {
  out.put_block_scale(n_mul(d, n_set(step)));
}

struct UnpackIQ2_XXS {
  using Format = formats::FormatIQ2_XXS;
  using Shape = SignedShape<32, 1>;
  static constexpr int kOffsetShift = kGridShift;
  static constexpr bool kLooksUp = true;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    put_scaled(n_f16_of_low(first4(rows, at)), 0.125F, out);
    for (int pair = 0; pair < 4; ++pair) {
      NI t[4];  // indices and word, twice
      n_transpose16(rows, at + 2 + 16 * pair, t);
      for (int half = 0; half < 2; ++half) {
        const NI index = t[2 * half];
        const NI word = t[2 * half + 1];
        const int group = 2 * pair + half;
        out.put_factor(group, odd_factor(n_shr<28>(word)));
        const NI signs = four_sign_bytes(word);
        unrolled<0, 4>([&](auto entry) {
          constexpr int kEntry = decltype(entry)::value;
          put_entry8<kEntry>(formats::kIq2XxsGrid, byte_of<kEntry>(index), signs,
                             32 * group + 8 * kEntry, out);
        });
      }
    }
  }
};

struct UnpackIQ2_XS {
  using Format = formats::FormatIQ2_XS;
  using Shape = SignedShape<16, 1>;
  static constexpr int kOffsetShift = kGridShift;
  static constexpr bool kLooksUp = true;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    put_scaled(n_f16_of_low(first4(rows, at)), 0.125F, out);
    NI tail[4];  // the last two are scales
    n_transpose16(rows, at + 58, tail);
    put_odd_factors(tail[2], 0, out);
    put_odd_factors(tail[3], 8, out);
    for (int quarter = 0; quarter < 4; ++quarter) {
      NI t[4];  // two entries each
      n_transpose16(rows, at + 2 + 16 * quarter, t);
      for (int i = 0; i < 4; ++i) {
        const int value = 64 * quarter + 16 * i;
        const NI codes = n_and(n_shr<9>(t[i]), n_set_int(0x007F007F));
        const NI signs = even_signs(codes);
        const NI nine = n_set_int(0x1FF);
        put_entry8<0>(formats::kIq2XsGrid, n_and(t[i], nine), signs, value, out);
        put_entry8<2>(formats::kIq2XsGrid, n_and(n_shr<16>(t[i]), nine), signs, value + 8, out);
      }
    }
  }
};

struct UnpackIQ2_S {
  using Format = formats::FormatIQ2_S;
  using Shape = SignedShape<16, 1>;
  static constexpr int kOffsetShift = kGridShift;
  static constexpr bool kLooksUp = true;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    put_scaled(n_f16_of_low(first4(rows, at)), 0.125F, out);
    NI tail[4];  // qh in two, scales in two
    n_transpose16(rows, at + 66, tail);
    put_odd_factors(tail[2], 0, out);
    put_odd_factors(tail[3], 8, out);
    for (int part = 0; part < 2; ++part) {
      NI low[4];
      NI signs[4];
      n_transpose16(rows, at + 2 + 16 * part, low);
      n_transpose16(rows, at + 34 + 16 * part, signs);
      unrolled<0, 4>([&](auto four) {
        constexpr int kFour = decltype(four)::value;
        const NI high = byte_of<kFour>(tail[part]);
        unrolled<0, 4>([&](auto entry) {
          constexpr int kEntry = decltype(entry)::value;
          const NI upper = n_and(n_shl<8 - 2 * kEntry>(high), n_set_int(0x300));
          put_entry8<kEntry>(formats::kIq2SGrid, n_or(byte_of<kEntry>(low[kFour]), upper),
                             signs[kFour], 128 * part + 32 * kFour + 8 * kEntry, out);
        });
      });
    }
  }
};

struct UnpackIQ3_XXS {
  using Format = formats::FormatIQ3_XXS;
  using Shape = SignedShape<32, 1>;
  static constexpr int kOffsetShift = kGridShift;
  static constexpr bool kLooksUp = true;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    put_scaled(n_f16_of_low(first4(rows, at)), 0.25F, out);
    const NI base = signed_base(kGridShift);
    for (int part = 0; part < 2; ++part) {
      NI words[4];
      n_transpose16(rows, at + 66 + 16 * part, words);
      for (int pair = 0; pair < 2; ++pair) {
        NI t[4];  // 8 entries of a group, twice
        n_transpose16(rows, at + 2 + 32 * part + 16 * pair, t);
        for (int half = 0; half < 2; ++half) {
          const NI word = words[2 * pair + half];
          const int group = 4 * part + 2 * pair + half;
          out.put_factor(group, odd_factor(n_shr<28>(word)));
          put_iq3_group(kIq3XxsBook, t + 2 * half, n_set_int(0), four_sign_bytes(word), base,
                        32 * group, out);
        }
      }
    }
  }
};

struct UnpackIQ3_S {
  using Format = formats::FormatIQ3_S;
  using Shape = SignedShape<32, 4>;
  static constexpr int kOffsetShift = 4;
  static constexpr bool kLooksUp = true;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    out.put_block_scale(n_f16_of_low(first4(rows, at)));
    put_odd_factors(last4(rows, at + 106), 0, out);
    const NI base = signed_base(kOffsetShift);
    for (int half = 0; half < 2; ++half) {
      const NI high = first4(rows, at + 66 + 4 * half);
      NI signs[4];
      n_transpose16(rows, at + 74 + 16 * half, signs);
      unrolled<0, 2>([&](auto pair) {
        constexpr int kPair = decltype(pair)::value;
        NI t[4];
        n_transpose16(rows, at + 2 + 32 * half + 16 * kPair, t);
        const int value = 128 * half + 64 * kPair;
        put_iq3_group(kIq3SBook, t, n_shr<16 * kPair>(high), signs[2 * kPair], base, value, out);
        put_iq3_group(kIq3SBook, t + 2, n_shr<16 * kPair + 8>(high), signs[2 * kPair + 1], base,
                      value + 32, out);
      });
    }
  }
};

}  // namespace
}  // namespace quern::cpu
