// Panel unpackers of the formats whose nibbles are FP4 (E2M1) numbers. Included by unpack-inl.h.
#pragma once

#include "kernels/cpu/unpack-inl.h"

namespace quern::cpu {
namespace {

// Room for -12..12.
inline constexpr int kFp4Shift = 4;
QUERN_PART NI fp4_table() {
  return n_add_bytes(n_table16(formats::kFp4Values), signed_base(kFp4Shift));
}

struct UnpackMXFP4 {
  using Format = formats::FormatMXFP4;
  using Shape = SignedShape<32, 4>;
  static constexpr int kOffsetShift = kFp4Shift;

  // 2^(x - 128) of the low byte. As bits: (x - 1) << 23, but the subnormals 1 << 21 and 1 << 22 for
  // x = 0 and 1, for which, and only for which, (x + 1) << 21 is the larger number.
  static QUERN_PART NF e8m0_half(NI x) {
    x = byte_of<0>(x);
    const NI normal = n_shl<23>(n_sub_int(x, n_set_int(1)));
    const NI subnormal = n_shl<21>(n_add_int(x, n_set_int(1)));
    return n_from_bits(n_max_int(normal, subnormal));
  }

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI t[4];
    n_transpose16(rows, at + 1, t);
    put_looked_up(fp4_table(), t, 0, out);
    out.put_scale(0, e8m0_half(first4(rows, at)));
  }
};

struct UnpackNVFP4 {
  using Format = formats::FormatNVFP4;
  using Shape = SignedShape<16, 4>;
  static constexpr int kOffsetShift = kFp4Shift;

  // Half of the E4M3 number in byte i. Its exponent and mantissa are those of an f16 whose exponent
  // is 8 lower; the code 0x7F is zero, and bit 7 is no part of the number.
  template <int i>
  static QUERN_PART NF e4m3_half(NI codes) {
    const NI code = byte_of<i>(codes);
    const NI is_zero = n_sar<31>(n_sub_int(n_xor(code, n_set_int(0x7F)), n_set_int(1)));
    const NI number = n_and(code, n_xor(is_zero, n_set_int(-1)));
    const NI bits = n_shl<7>(n_and(number, n_set_int(0x7F)));
    return n_mul(n_f16_of_low(bits), n_set(0x1p7F));
  }

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    const NI codes = first4(rows, at);
    out.put_scale(0, e4m3_half<0>(codes));
    out.put_scale(1, e4m3_half<1>(codes));
    out.put_scale(2, e4m3_half<2>(codes));
    out.put_scale(3, e4m3_half<3>(codes));
    const NI table = fp4_table();
    QUERN_UNROLL
    for (int pair = 0; pair < 2; ++pair) {
      NI t[4];
      n_transpose16(rows, at + 4 + 16 * pair, t);
      QUERN_UNROLL
      for (int i = 0; i < 4; ++i) {
        // 8 bytes are a group of 16: low nibbles first.
        const int value = 32 * pair + 16 * (i / 2) + 4 * (i % 2);
        out.put_q(value, n_lookup(table, low_nibbles(t[i])));
        out.put_q(value + 8, n_lookup(table, high_nibbles(t[i])));
      }
    }
  }
};

}  // namespace
}  // namespace quern::cpu
