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

// d * ((2 * s + 1) * step), exact: 11 bits times 5.
QUERN_PART NF odd_scale(NF d, NI s, float step) {
  const NI odd = n_add_int(n_add_int(s, s), n_set_int(1));
  return n_mul(d, n_mul(n_to_float(odd), n_set(step)));
}
// Scales of 8 groups from the nibbles of a lane, lowest first.
template <int nibble = 0, typename Out>
QUERN_PART void put_odd_scales(NF d, NI nibbles, float step, int group, Out& out) {
  const NI s = n_and(n_shr<4 * nibble>(nibbles), n_set_int(0x0F));
  out.put_scale(group + nibble, odd_scale(d, s, step));
  if constexpr (nibble < 7) put_odd_scales<nibble + 1>(d, nibbles, step, group, out);
}

struct UnpackIQ2_XXS {
  using Format = formats::FormatIQ2_XXS;
  using Shape = SignedShape<32, 1>;
  static constexpr int kOffsetShift = kGridShift;
  static constexpr bool kLooksUp = true;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    const NF d = n_f16_of_low(first4(rows, at));
    for (int pair = 0; pair < 4; ++pair) {
      NI t[4];  // indices and word, twice
      n_transpose16(rows, at + 2 + 16 * pair, t);
      for (int half = 0; half < 2; ++half) {
        const NI index = t[2 * half];
        const NI word = t[2 * half + 1];
        const int group = 2 * pair + half;
        out.put_scale(group, odd_scale(d, n_shr<28>(word), 0.125F));
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
    const NF d = n_f16_of_low(first4(rows, at));
    NI tail[4];  // the last two are scales
    n_transpose16(rows, at + 58, tail);
    put_odd_scales(d, tail[2], 0.125F, 0, out);
    put_odd_scales(d, tail[3], 0.125F, 8, out);
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
    const NF d = n_f16_of_low(first4(rows, at));
    NI tail[4];  // qh in two, scales in two
    n_transpose16(rows, at + 66, tail);
    put_odd_scales(d, tail[2], 0.125F, 0, out);
    put_odd_scales(d, tail[3], 0.125F, 8, out);
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
    const NF d = n_f16_of_low(first4(rows, at));
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
          out.put_scale(group, odd_scale(d, n_shr<28>(word), 0.25F));
          const NI signs = four_sign_bytes(word);
          unrolled<0, 8>([&](auto entry) {
            constexpr int kEntry = decltype(entry)::value;
            const NI index = byte_of<kEntry % 4>(t[2 * half + kEntry / 4]);
            const NI q = n_lookup32(formats::kIq3XxsGrid, index);
            out.put_q(32 * group + 4 * kEntry, with_signs<kEntry>(q, signs, base));
          });
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

  // The 32 values of a group: 8 indices whose ninth bits are byte `byte` of `high`.
  template <int byte, typename Out>
  static QUERN_PART void put_group(const NI* low, NI high, NI signs, int value, Out& out) {
    const NI base = signed_base(kOffsetShift);
    unrolled<0, 8>([&](auto entry) {
      constexpr int kEntry = decltype(entry)::value;
      constexpr int kBit = 8 * byte + kEntry;  // in its word
      const NI upper = n_and(kBit > 8 ? n_shr<(kBit > 8 ? kBit - 8 : 0)>(high)
                                      : n_shl<(kBit > 8 ? 0 : 8 - kBit)>(high),
                             n_set_int(0x100));
      const NI index = n_or(byte_of<kEntry % 4>(low[kEntry / 4]), upper);
      const NI q = n_lookup32(formats::kIq3SGrid, index);
      out.put_q(value + 4 * kEntry, with_signs<kEntry>(q, signs, base));
    });
  }

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    const NF d = n_f16_of_low(first4(rows, at));
    put_odd_scales(d, last4(rows, at + 106), 1.0F, 0, out);
    for (int half = 0; half < 2; ++half) {
      const NI high = first4(rows, at + 66 + 4 * half);
      NI signs[4];
      n_transpose16(rows, at + 74 + 16 * half, signs);
      unrolled<0, 2>([&](auto pair) {
        constexpr int kPair = decltype(pair)::value;
        NI t[4];
        n_transpose16(rows, at + 2 + 32 * half + 16 * kPair, t);
        const int value = 128 * half + 64 * kPair;
        put_group<2 * kPair>(t, high, signs[2 * kPair], value, out);
        put_group<2 * kPair + 1>(t + 2, high, signs[2 * kPair + 1], value + 32, out);
      });
    }
  }
};

}  // namespace
}  // namespace quern::cpu
