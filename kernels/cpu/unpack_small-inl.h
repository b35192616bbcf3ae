// Panel unpackers of the formats with one to two bits per weight: IQ1, TQ and Q1_0. Included by
// unpack-inl.h.
#pragma once

#include "kernels/cpu/unpack_grid-inl.h"

namespace quern::cpu {
namespace {

// Room for -9..9.
inline constexpr int kIq1Shift = 4;

// The bytes that move an entry by +1/8, or by -1/8 where bit `bit` of the lane is set.
template <int bit>
QUERN_PART NI iq1_base(NI bits) {
  const NI negative = n_sar<31>(n_shl<31 - bit>(bits));
  const NI up = n_add_bytes(signed_base(kIq1Shift), byte_mask(1));
  const NI down = n_sub_bytes(signed_base(kIq1Shift), byte_mask(1));
  return n_xor(up, n_and(negative, n_xor(up, down)));
}
template <typename Out>
QUERN_PART void put_iq1_entry(NI index, NI base, int value, Out& out) {
  NI low;
  NI high;
  n_lookup64(formats::kIq1Grid, index, &low, &high);
  out.put_q(value, n_add_bytes(base, low));
  out.put_q(value + 4, n_add_bytes(base, high));
}

struct UnpackIQ1_S {
  using Format = formats::FormatIQ1_S;
  using Shape = SignedShape<32, 4>;
  static constexpr int kOffsetShift = kIq1Shift;
  static constexpr bool kLooksUp = true;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    put_scaled(n_f16_of_low(first4(rows, at)), 0.125F, out);
    NI qh[4];  // two groups each
    n_transpose16(rows, at + 34, qh);
    for (int part = 0; part < 2; ++part) {
      NI low[4];  // one group each
      n_transpose16(rows, at + 2 + 16 * part, low);
      unrolled<0, 4>([&](auto four) {
        constexpr int kFour = decltype(four)::value;
        const int group = 4 * part + kFour;
        const NI bits = n_shr<16 * (kFour % 2)>(qh[2 * part + kFour / 2]);
        out.put_factor(group, odd_factor(n_and(n_shr<12>(bits), n_set_int(7))));
        const NI base = iq1_base<15>(bits);
        unrolled<0, 4>([&](auto entry) {
          constexpr int kEntry = decltype(entry)::value;
          const NI three = n_and(n_shr<3 * kEntry>(bits), n_set_int(7));
          const NI index = n_or(byte_of<kEntry>(low[kFour]), n_shl<8>(three));
          put_iq1_entry(index, base, 32 * group + 8 * kEntry, out);
        });
      });
    }
  }
};

struct UnpackIQ1_M {
  using Format = formats::FormatIQ1_M;
  using Shape = SignedShape<16, 4>;
  static constexpr int kOffsetShift = kIq1Shift;
  static constexpr bool kLooksUp = true;

  // Factors of 8 groups from two words of 16 bits: 4 x 3 bits in each.
  template <typename Out>
  static QUERN_PART void put_factors(NI words, int group, Out& out) {
    unrolled<0, 8>([&](auto g) {
      constexpr int kG = decltype(g)::value;
      const NI s = n_and(n_shr<16 * (kG / 4) + 3 * (kG % 4)>(words), n_set_int(7));
      out.put_factor(group + kG, odd_factor(s));
    });
  }

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI tail[4];  // the last two are scales
    n_transpose16(rows, at + 40, tail);
    const NI first = tail[2];
    const NI second = tail[3];
    // The f16, a nibble from the top of each word.
    const NI low =
        n_or(n_and(n_shr<12>(first), n_set_int(0x0F)), n_and(n_shr<24>(first), n_set_int(0xF0)));
    const NI high = n_or(n_and(n_shr<4>(second), n_set_int(0x0F00)),
                         n_and(n_shr<16>(second), n_set_int(0xF000)));
    put_scaled(n_f16_of_low(n_or(low, high)), 0.125F, out);
    put_factors(first, 0, out);
    put_factors(second, 8, out);
    NI qh[4];  // 8 entries each
    n_transpose16(rows, at + 32, qh);
    for (int part = 0; part < 2; ++part) {
      NI t[4];  // 4 entries each
      n_transpose16(rows, at + 16 * part, t);
      unrolled<0, 16>([&](auto entry) {
        constexpr int kEntry = decltype(entry)::value;
        const NI nibble = n_shr<4 * (kEntry % 8)>(qh[2 * part + kEntry / 8]);
        const NI three = n_and(nibble, n_set_int(7));
        const NI index = n_or(byte_of<kEntry % 4>(t[kEntry / 4]), n_shl<8>(three));
        put_iq1_entry(index, iq1_base<3>(nibble), 128 * part + 8 * kEntry, out);
      });
    }
  }
};

// One scale for the whole block.
template <typename Out>
QUERN_PART void put_one_scale(NF d, Out& out) {
  out.put_block_scale(d);
  QUERN_UNROLL
  for (int group = 0; group < 8; ++group) out.put_factor(group, n_set_int(1));
}

struct UnpackTQ1_0 {
  using Format = formats::FormatTQ1_0;
  using Shape = OffsetShape<32, 4>;
  static constexpr int kOffsetShift = 0;

  // Writes the first n_digits base-3 digits of the bytes, `step` values apart. Three times the byte
  // is the digit (upper byte) and the fraction that holds the other digits (lower byte); bytes are
  // kept as two sets of 16 bits for the room that takes.
  template <typename Out>
  static QUERN_PART void put_digits(NI bytes, int n_digits, int value, int step, Out& out) {
    const NI fraction = n_set_int(0x00FF00FF);
    NI even = n_and(bytes, fraction);
    NI odd = n_and(n_shr<8>(bytes), fraction);
    QUERN_UNROLL
    for (int n = 0; n < n_digits; ++n) {
      even = n_add_int(even, n_add_int(even, even));
      odd = n_add_int(odd, n_add_int(odd, odd));
      const NI digits = n_or(n_and(n_shr<8>(even), fraction), n_and(odd, n_set_int(0x03000300)));
      out.put_q(value + n * step, digits);
      even = n_and(even, fraction);
      odd = n_and(odd, fraction);
    }
  }

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    const NF d = n_f16_of_low(n_shr<16>(last4(rows, at + 50)));
    put_one_scale(d, out);
    QUERN_UNROLL
    for (int part = 0; part < 3; ++part) {
      NI t[4];
      n_transpose16(rows, at + 16 * part, t);
      const int value = part < 2 ? 16 * part : 160;
      QUERN_UNROLL
      for (int i = 0; i < 4; ++i) put_digits(t[i], 5, value + 4 * i, part < 2 ? 32 : 16, out);
    }
    put_digits(last4(rows, at + 48), 4, 240, 4, out);
  }
};

struct UnpackTQ2_0 {
  using Format = formats::FormatTQ2_0;
  using Shape = OffsetShape<32, 4>;
  static constexpr int kOffsetShift = 0;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    const NF d = n_f16_of_low(n_shr<16>(last4(rows, at + 62)));
    put_one_scale(d, out);
    QUERN_UNROLL
    for (int half = 0; half < 2; ++half) {
      QUERN_UNROLL
      for (int part = 0; part < 2; ++part) {
        NI t[4];
        n_transpose16(rows, at + 32 * half + 16 * part, t);
        put_crumbs(t, 128 * half + 16 * part, out);
      }
    }
  }
};

struct UnpackQ1_0 {
  using Format = formats::FormatQ1_0;
  using Shape = SignedShape<32, 4>;
  static constexpr int kOffsetShift = 0;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    const NF d = n_f16_of_low(first4(rows, at));
    NI t[4];
    n_transpose16(rows, at + 2, t);
    const NI plus = n_add_bytes(signed_base(kOffsetShift), byte_mask(1));
    const NI minus = n_sub_bytes(signed_base(kOffsetShift), byte_mask(1));
    QUERN_UNROLL
    for (int group = 0; group < 4; ++group) {
      out.put_scale(group, d);
      unrolled<0, 8>([&](auto nibble) {
        constexpr int kNibble = decltype(nibble)::value;
        out.put_q(32 * group + 4 * kNibble, n_select_bits<kNibble>(t[group], minus, plus));
      });
    }
  }
};

}  // namespace
}  // namespace quern::cpu
