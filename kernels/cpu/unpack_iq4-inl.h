// Panel unpackers of the formats whose nibbles index the table of 16 uneven steps. Included by
// unpack-inl.h.
#pragma once

#include "kernels/cpu/unpack-inl.h"

namespace quern::cpu {
namespace {

template <typename Out>
QUERN_PART void put_steps(const NI* t, int value, Out& out) {
  put_looked_up(n_xor(n_table16(formats::kIq4Values), wide_flip()), t, value, out);
}

struct UnpackIQ4_NL {
  using Format = formats::FormatIQ4_NL;
  using Shape = WideShape;
  static constexpr int kOffsetShift = 7;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI t[4];
    n_transpose16(rows, at + 2, t);
    put_steps(t, 0, out);
    out.put_scale(0, n_f16_of_low(first4(rows, at)));
  }
};

struct UnpackIQ4_XS {
  using Format = formats::FormatIQ4_XS;
  using Shape = WideShape;
  static constexpr int kOffsetShift = 7;

  // Factor g, of which `low` holds nibble g of 8 and `high` bits 2g, 2g + 1.
  template <int g, typename Out>
  static QUERN_PART void put_factor(NI low, NI high, Out& out) {
    const NI nibble = n_and(n_shr<4 * g>(low), n_set_int(0x0F));
    const NI upper = n_and(n_shr<2 * g>(high), n_set_int(3));
    out.put_factor(g, n_sub_int(n_or(nibble, n_shl<4>(upper)), n_set_int(32)));
    if constexpr (g < 7) put_factor<g + 1>(low, high, out);
  }

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI head[4];
    n_transpose16(rows, at, head);
    out.put_block_scale(n_f16_of_low(head[0]));
    put_factor<0>(head[1], n_shr<16>(head[0]), out);
    QUERN_UNROLL
    for (int group = 0; group < 8; ++group) {
      NI t[4];
      n_transpose16(rows, at + 8 + 16 * group, t);
      put_steps(t, 32 * group, out);
    }
  }
};

}  // namespace
}  // namespace quern::cpu
