// Panel unpackers of the K formats: blocks of 256 values. Included by unpack-inl.h.
#pragma once

#include "kernels/cpu/unpack-inl.h"

namespace quern::cpu {
namespace {

// Factors of four groups from `group`, the bytes of `bytes`.
template <typename Out>
QUERN_PART void put_factors(NI bytes, int group, Out& out) {
  out.put_factor(group + 0, byte_of<0>(bytes));
  out.put_factor(group + 1, byte_of<1>(bytes));
  out.put_factor(group + 2, byte_of<2>(bytes));
  out.put_factor(group + 3, byte_of<3>(bytes));
}
template <typename Out>
QUERN_PART void put_min_factors(NI bytes, int group, Out& out) {
  out.put_min_factor(group + 0, byte_of<0>(bytes));
  out.put_min_factor(group + 1, byte_of<1>(bytes));
  out.put_min_factor(group + 2, byte_of<2>(bytes));
  out.put_min_factor(group + 3, byte_of<3>(bytes));
}
template <typename Out>
QUERN_PART void put_signed_factors(NI bytes, int group, Out& out) {
  out.put_factor(group + 0, signed_byte_of<0>(bytes));
  out.put_factor(group + 1, signed_byte_of<1>(bytes));
  out.put_factor(group + 2, signed_byte_of<2>(bytes));
  out.put_factor(group + 3, signed_byte_of<3>(bytes));
}
// Factors stored with 32 added, 0..63 in each byte.
template <typename Out>
QUERN_PART void put_biased_factors(NI bytes, int group, Out& out) {
  const NI bias = n_set_int(32);
  out.put_factor(group + 0, n_sub_int(byte_of<0>(bytes), bias));
  out.put_factor(group + 1, n_sub_int(byte_of<1>(bytes), bias));
  out.put_factor(group + 2, n_sub_int(byte_of<2>(bytes), bias));
  out.put_factor(group + 3, n_sub_int(byte_of<3>(bytes), bias));
}

// The first 16 bytes of Q4_K and Q5_K: d, dmin and the 12 bytes of k_scales.h.
template <typename Out>
QUERN_PART void put_k_head(RowSet rows, int64_t at, Out& out) {
  NI t[4];
  n_transpose16(rows, at, t);
  out.put_block_scale(n_f16_of_low(t[0]));
  out.put_block_min(n_f16_of_low(n_shr<16>(t[0])));
  const NI six = byte_mask(0x3F);
  const NI high = byte_mask(0x30);
  put_factors(n_and(t[1], six), 0, out);
  put_factors(n_or(low_nibbles(t[3]), n_and(n_shr<2>(t[1]), high)), 4, out);
  put_min_factors(n_and(t[2], six), 0, out);
  put_min_factors(n_or(high_nibbles(t[3]), n_and(n_shr<2>(t[2]), high)), 4, out);
}

struct UnpackQ4_K {
  using Format = formats::FormatQ4_K;
  using Shape = MinShape<32, 4>;
  static constexpr int kOffsetShift = 0;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    put_k_head(rows, at, out);
    QUERN_UNROLL
    for (int piece = 0; piece < 8; ++piece) {
      NI t[4];
      n_transpose16(rows, at + 16 + 16 * piece, t);
      const int value = 64 * (piece / 2) + 16 * (piece % 2);
      QUERN_UNROLL
      for (int i = 0; i < 4; ++i) {
        out.put_q(value + 4 * i, low_nibbles(t[i]));
        out.put_q(value + 32 + 4 * i, high_nibbles(t[i]));
      }
    }
  }
};

struct UnpackQ5_K {
  using Format = formats::FormatQ5_K;
  using Shape = MinShape<32, 4>;
  static constexpr int kOffsetShift = 0;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    put_k_head(rows, at, out);
    QUERN_UNROLL
    for (int part = 0; part < 2; ++part) {
      NI high[4];
      n_transpose16(rows, at + 16 + 16 * part, high);
      unrolled<0, 4>([&](auto pair) {
        constexpr int kPair = decltype(pair)::value;
        NI t[4];
        n_transpose16(rows, at + 48 + 32 * kPair + 16 * part, t);
        const int value = 64 * kPair + 16 * part;
        QUERN_UNROLL
        for (int i = 0; i < 4; ++i) {
          const NI even = n_and(n_shr<2 * kPair>(high[i]), byte_mask(1));
          const NI odd = n_and(n_shr<2 * kPair + 1>(high[i]), byte_mask(1));
          out.put_q(value + 4 * i, n_or(low_nibbles(t[i]), n_shl<4>(even)));
          out.put_q(value + 32 + 4 * i, n_or(high_nibbles(t[i]), n_shl<4>(odd)));
        }
      });
    }
  }
};

struct UnpackQ6_K {
  using Format = formats::FormatQ6_K;
  using Shape = OffsetShape<16, 2>;
  static constexpr int kOffsetShift = 5;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI s[4];
    n_transpose16(rows, at + 192, s);
    out.put_block_scale(n_f16_of_low(n_shr<16>(last4(rows, at + 206))));
    QUERN_UNROLL
    for (int i = 0; i < 4; ++i) put_signed_factors(s[i], 4 * i, out);
    const NI two = byte_mask(0x30);
    QUERN_UNROLL
    for (int half = 0; half < 2; ++half) {
      QUERN_UNROLL
      for (int part = 0; part < 2; ++part) {
        NI high[4];
        NI low[4];
        NI low_next[4];
        n_transpose16(rows, at + 128 + 32 * half + 16 * part, high);
        n_transpose16(rows, at + 64 * half + 16 * part, low);
        n_transpose16(rows, at + 64 * half + 32 + 16 * part, low_next);
        const int value = 128 * half + 16 * part;
        QUERN_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int v = value + 4 * i;
          out.put_q(v, n_or(low_nibbles(low[i]), n_and(n_shl<4>(high[i]), two)));
          out.put_q(v + 32, n_or(low_nibbles(low_next[i]), n_and(n_shl<2>(high[i]), two)));
          out.put_q(v + 64, n_or(high_nibbles(low[i]), n_and(high[i], two)));
          out.put_q(v + 96, n_or(high_nibbles(low_next[i]), n_and(n_shr<2>(high[i]), two)));
        }
      }
    }
  }
};

struct UnpackQ2_K {
  using Format = formats::FormatQ2_K;
  using Shape = MinShape<16, 4>;
  static constexpr int kOffsetShift = 0;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    const NI head = last4(rows, at + 80);
    out.put_block_scale(n_f16_of_low(head));
    out.put_block_min(n_f16_of_low(n_shr<16>(head)));
    NI s[4];
    n_transpose16(rows, at, s);
    QUERN_UNROLL
    for (int i = 0; i < 4; ++i) {
      put_factors(low_nibbles(s[i]), 4 * i, out);
      put_min_factors(high_nibbles(s[i]), 4 * i, out);
    }
    QUERN_UNROLL
    for (int half = 0; half < 2; ++half) {
      QUERN_UNROLL
      for (int part = 0; part < 2; ++part) {
        NI t[4];
        n_transpose16(rows, at + 16 + 32 * half + 16 * part, t);
        put_crumbs(t, 128 * half + 16 * part, out);
      }
    }
  }
};

struct UnpackQ3_K {
  using Format = formats::FormatQ3_K;
  using Shape = OffsetShape<16, 4>;
  static constexpr int kOffsetShift = 2;

  // The last 16 bytes of the block: 2 of qs, the 12 of the scales, d.
  template <typename Out>
  static QUERN_PART void put_head(RowSet rows, int64_t at, Out& out) {
    NI t[4];
    n_transpose16(rows, at + 94, t);
    out.put_block_scale(n_f16_of_low(n_shr<16>(t[3])));
    const NI low[2] = {n_or(n_shr<16>(t[0]), n_shl<16>(t[1])),
                       n_or(n_shr<16>(t[1]), n_shl<16>(t[2]))};
    const NI high = n_or(n_shr<16>(t[2]), n_shl<16>(t[3]));
    unrolled<0, 4>([&](auto four) {
      constexpr int kFour = decltype(four)::value;
      const NI nibbles = n_and(n_shr<4 * (kFour / 2)>(low[kFour % 2]), byte_mask(0x0F));
      const NI upper = n_shl<4>(n_and(n_shr<2 * kFour>(high), byte_mask(3)));
      put_biased_factors(n_or(nibbles, upper), 4 * kFour, out);
    });
  }

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    put_head(rows, at, out);
    QUERN_UNROLL
    for (int part = 0; part < 2; ++part) {
      NI mask[4];
      n_transpose16(rows, at + 16 * part, mask);
      unrolled<0, 2>([&](auto half) {
        constexpr int kHalf = decltype(half)::value;
        NI t[4];
        n_transpose16(rows, at + 32 + 32 * kHalf + 16 * part, t);
        unrolled<0, 4>([&](auto step) {
          constexpr int kStep = decltype(step)::value;
          const int value = 128 * kHalf + 32 * kStep + 16 * part;
          QUERN_UNROLL
          for (int i = 0; i < 4; ++i) {
            const NI low = n_and(n_shr<2 * kStep>(t[i]), byte_mask(3));
            const NI high = n_and(n_shr<4 * kHalf + kStep>(mask[i]), byte_mask(1));
            out.put_q(value + 4 * i, n_or(low, n_shl<2>(high)));
          }
        });
      });
    }
  }
};

}  // namespace
}  // namespace quern::cpu
