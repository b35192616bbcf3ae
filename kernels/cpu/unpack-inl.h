// Vectorised unpacking of quantized blocks into panels: 16 weight rows at a time, straight from the
// bytes of the file.
//
// One struct per format, written once over native vectors. 16 bytes of each row are turned into 4
// vectors with one row per lane (n_transpose16), so that every shift and mask works on kLanes rows.
// The layouts are pictured in kernels/formats/block_*.h; tests compare each with the traits there.
#pragma once

#include <cstddef>

#include "kernels/cpu/matmul_panel-inl.h"
#include "kernels/formats/all_blocks.h"

namespace quern::cpu {
namespace {

// Asks for kLanes rows of the block that is to come, a line at a time between the other work of a
// block. All at once they would fill the queue of the nearest cache, and what is to be multiplied
// now would wait behind them: that took as long as reading and multiplying one after the other.
template <typename Format>
class BlockAhead {
 public:
  QUERN_PART explicit BlockAhead(PanelPrefetch& prefetch) : at_(prefetch.take(int64_t{kBytes})) {}

  // Called with each of the block's kSteps vectors of bytes.
  QUERN_PART NI step(NI bytes) {
    const int from = steps_ * kBytes / (64 * kSteps);
    const int to = ++steps_ * kBytes / (64 * kSteps);
    QUERN_UNROLL
    for (int line = from; line < to; ++line) bytes = n_asking(bytes, at_ + 64 * line);
    return bytes;
  }

 private:
  static constexpr int kBytes = kLanes * static_cast<int>(sizeof(typename Format::Block));
  static constexpr int kSteps = Format::kBlockValues / 4;

  const std::byte* at_;
  int steps_ = 0;
};

// Where kLanes lanes of a block of a panel go. Values and groups count from the block's start.
template <typename Format>
struct PanelOut {
  uint8_t* q;
  float* scale;
  float* min;
  BlockAhead<Format> ahead;

  // Bytes of the 4 values from `value`.
  QUERN_PART void put_q(int value, NI bytes) {
    n_store_bytes(q + value * kPanelRows, ahead.step(bytes));
  }
  QUERN_PART void put_scale(int group, NF v) const { n_store(scale + group * kPanelRows, v); }
  QUERN_PART void put_min(int group, NF v) const { n_store(min + group * kPanelRows, v); }
};

// Unpacks whole blocks with Unpacker::block(rows, offset of the block, out). Out: PanelOut, or what
// is derived from it without members of its own.
template <typename Unpacker, typename Out = PanelOut<typename Unpacker::Format>>
QUERN_PART void unpack_blocks(const PanelChunk& chunk, const Panel& panel,
                              PanelPrefetch& prefetch) {
  using Format = typename Unpacker::Format;
  constexpr int kBytes = sizeof(typename Format::Block);
  const int64_t first = chunk.first_value / Format::kBlockValues * kBytes;
  for (int b = 0; b < chunk.n_values / Format::kBlockValues; ++b) {
    const int value = b * Format::kBlockValues;
    const int group = value / Format::kGroupValues;
    for (int lane = 0; lane < kPanelRows; lane += kLanes) {
      Out out = {PanelOut<Format>{
          panel.q + value * kPanelRows + 4 * lane, panel.scale + group * kPanelRows + lane,
          panel.min + group * kPanelRows + lane, BlockAhead<Format>(prefetch)}};
      Unpacker::block(rows_from(chunk.rows, lane), first + int64_t{b} * kBytes, out);
    }
  }
}

// Takes the place of PanelOut when there is one column: the bytes are multiplied where they are, in
// registers, and never stored.
template <typename Unpacker>
class DotOut {
 public:
  using Format = typename Unpacker::Format;
  using Shape = typename Unpacker::Shape;

  // `x` starts at the block.
  QUERN_PART DotOut(const PanelColumns& x, PanelPrefetch& prefetch) : x_(x), ahead_(prefetch) {
    QUERN_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      dot_[g] = n_set_int(0);
      if constexpr (Shape::kCode == PanelCode::kOffset) {
        dot_[g] = n_shl<Unpacker::kOffsetShift>(n_set_int(x.neg_sum[g]));
      }
    }
  }

  QUERN_PART void put_q(int value, NI bytes) {
    bytes = ahead_.step(bytes);
    NI& dot = dot_[value / Shape::kGroup];
    const NI a = n_broadcast4(x_.q + value);
    if constexpr (Shape::kCode == PanelCode::kWide) {
      dot = n_dot_wide(dot, bytes, a);
    } else {
      dot = n_dot_unsigned(dot, bytes, a);
    }
  }
  QUERN_PART void put_scale(int group, NF v) { scale_[group] = v; }
  QUERN_PART void put_min(int group, NF v) { min_[group] = v; }

  // The block's groups in ascending order, as in multiply_panel.
  QUERN_PART NF add_to(NF sum) const {
    QUERN_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      const NF d = n_set(x_.d[g * Shape::kGroup / 32]);
      sum = n_fma(n_to_float(dot_[g]), n_mul(scale_[g], d), sum);
      if constexpr (Shape::kMin) sum = n_fnma(min_[g], n_set(x_.sum_d[g]), sum);
    }
    return sum;
  }

 private:
  static constexpr int kGroups = Format::kBlockValues / Format::kGroupValues;

  const PanelColumns& x_;
  BlockAhead<Format> ahead_;
  NI dot_[kGroups];
  NF scale_[kGroups];
  NF min_[kGroups];
};

// Adds the products of a chunk with one column to accumulator[kPanelRows].
template <typename Unpacker>
QUERN_PART void dot_blocks(const PanelChunk& chunk, const PanelColumns& column, float* accumulator,
                           PanelPrefetch& prefetch) {
  using Format = typename Unpacker::Format;
  constexpr int kBytes = sizeof(typename Format::Block);
  constexpr int kGroups = Format::kBlockValues / Format::kGroupValues;
  for (int lane = 0; lane < kPanelRows; lane += kLanes) {
    const RowSet rows = rows_from(chunk.rows, lane);
    int64_t at = chunk.first_value / Format::kBlockValues * kBytes;
    PanelColumns x = column;
    NF sum = n_load(accumulator + lane);
    for (int b = 0; b < chunk.n_values / Format::kBlockValues; ++b) {
      DotOut<Unpacker> out(x, prefetch);
      Unpacker::block(rows, at, out);
      sum = out.add_to(sum);
      at += kBytes;
      x.q += Format::kBlockValues;
      x.d += Format::kBlockValues / 32;
      x.sum_d += kGroups;
      x.neg_sum += kGroups;
    }
    n_store(accumulator + lane, sum);
  }
}

}  // namespace
}  // namespace quern::cpu

#include "kernels/cpu/unpack_super-inl.h"

namespace quern::cpu {
namespace {

// Lane r: the 4 bytes at offset in row r. Of each row the 16 bytes that begin with them are read.
QUERN_PART NI first4(RowSet rows, int64_t offset) {
  NI t[4];
  n_transpose16(rows, offset, t);
  return t[0];
}
// The same; the 16 bytes that end with them are read.
QUERN_PART NI last4(RowSet rows, int64_t offset) {
  NI t[4];
  n_transpose16(rows, offset - 12, t);
  return t[3];
}

QUERN_PART NI byte_mask(uint8_t bits) {
  return n_set_int(static_cast<int32_t>(bits * 0x01010101U));
}
QUERN_PART NI low_nibbles(NI v) { return n_and(v, byte_mask(0x0F)); }
QUERN_PART NI high_nibbles(NI v) { return n_and(n_shr<4>(v), byte_mask(0x0F)); }
// Byte i of each lane as an integer.
template <int i>
QUERN_PART NI byte_of(NI v) {
  return n_and(n_shr<8 * i>(v), n_set_int(0xFF));
}
template <int i>
QUERN_PART NI signed_byte_of(NI v) {
  return n_sar<24>(n_shl<24 - 8 * i>(v));
}

QUERN_PART NF n_negate(NF v) { return n_from_bits(n_xor(n_bits(v), n_set_int(INT32_MIN))); }

// What the panel kernel has to know of a format.
template <int group, int steps>
using OffsetShape = PanelShape<group, false, PanelCode::kOffset, steps>;
template <int group, int steps>
using MinShape = PanelShape<group, true, PanelCode::kUnsigned, steps>;
// Formats with q up to -128 or 127.
using WideShape = PanelShape<32, false, kWideCode>;
// xor-ed into the bytes of such formats.
QUERN_PART NI wide_flip() { return byte_mask(kDotFlip); }

// Bytes of q for formats whose dot product may take them signed: q itself there, else q + 2^n.
template <int group, int steps>
using SignedShape = PanelShape<group, false, kDotSigned ? PanelCode::kWide : PanelCode::kOffset,
                               kDotSigned ? 1 : steps>;
QUERN_PART NI signed_base(int offset_shift) {
  return byte_mask(static_cast<uint8_t>(kDotSigned ? 0 : 1 << offset_shift));
}

// 16 bytes of nibbles looked up: low ones are values 0..15, high ones 16..31.
template <typename Out>
QUERN_PART void put_looked_up(NI table, const NI* t, int value, Out& out) {
  QUERN_UNROLL
  for (int i = 0; i < 4; ++i) {
    out.put_q(value + 4 * i, n_lookup(table, low_nibbles(t[i])));
    out.put_q(value + 16 + 4 * i, n_lookup(table, high_nibbles(t[i])));
  }
}

// 16 bytes of 2-bit numbers, lowest first: values 0..15, 32..47, 64..79, 96..111.
template <typename Out>
QUERN_PART void put_crumbs(const NI* t, int value, Out& out) {
  const NI two = byte_mask(3);
  QUERN_UNROLL
  for (int i = 0; i < 4; ++i) {
    out.put_q(value + 4 * i, n_and(t[i], two));
    out.put_q(value + 32 + 4 * i, n_and(n_shr<2>(t[i]), two));
    out.put_q(value + 64 + 4 * i, n_and(n_shr<4>(t[i]), two));
    out.put_q(value + 96 + 4 * i, n_and(n_shr<6>(t[i]), two));
  }
}

// 16 bytes of nibbles: low ones are values 0..15, high ones 16..31.
template <typename Out>
QUERN_PART void put_nibbles(const NI* t, Out& out) {
  QUERN_UNROLL
  for (int i = 0; i < 4; ++i) {
    out.put_q(4 * i, low_nibbles(t[i]));
    out.put_q(16 + 4 * i, high_nibbles(t[i]));
  }
}

// The 32 fifth bits of `bits`, 4 of them as bit 4 of the bytes of values 4i..4i+3.
template <int i>
QUERN_PART NI fifth_bits(NI bits) {
  const NI four = n_and(n_shr<4 * i>(bits), n_set_int(0x0F));
  // Bit j to bit 8j: four copies apart by 7, one bit of each kept.
  const NI spread = n_or(n_or(four, n_shl<7>(four)), n_or(n_shl<14>(four), n_shl<21>(four)));
  return n_shl<4>(n_and(spread, byte_mask(1)));
}

template <int i, typename Out>
QUERN_PART void put_five(const NI* t, NI fifth, Out& out) {
  if constexpr (i < 4) {
    out.put_q(4 * i, n_or(low_nibbles(t[i]), fifth_bits<i>(fifth)));
    out.put_q(16 + 4 * i, n_or(high_nibbles(t[i]), fifth_bits<i + 4>(fifth)));
    put_five<i + 1>(t, fifth, out);
  }
}

struct UnpackQ4_0 {
  using Format = formats::FormatQ4_0;
  using Shape = OffsetShape<32, 4>;
  static constexpr int kOffsetShift = 3;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI t[4];
    n_transpose16(rows, at + 2, t);
    put_nibbles(t, out);
    out.put_scale(0, n_f16_of_low(first4(rows, at)));
  }
};

struct UnpackQ4_1 {
  using Format = formats::FormatQ4_1;
  using Shape = MinShape<32, 4>;
  static constexpr int kOffsetShift = 0;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI t[4];
    n_transpose16(rows, at + 4, t);
    put_nibbles(t, out);
    const NI head = first4(rows, at);
    out.put_scale(0, n_f16_of_low(head));
    out.put_min(0, n_negate(n_f16_of_low(n_shr<16>(head))));
  }
};

struct UnpackQ5_0 {
  using Format = formats::FormatQ5_0;
  using Shape = OffsetShape<32, 4>;
  static constexpr int kOffsetShift = 4;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI t[4];
    n_transpose16(rows, at + 6, t);
    put_five<0>(t, first4(rows, at + 2), out);
    out.put_scale(0, n_f16_of_low(first4(rows, at)));
  }
};

struct UnpackQ5_1 {
  using Format = formats::FormatQ5_1;
  using Shape = MinShape<32, 4>;
  static constexpr int kOffsetShift = 0;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI t[4];
    n_transpose16(rows, at + 8, t);
    put_five<0>(t, first4(rows, at + 4), out);
    const NI head = first4(rows, at);
    out.put_scale(0, n_f16_of_low(head));
    out.put_min(0, n_negate(n_f16_of_low(n_shr<16>(head))));
  }
};

struct UnpackQ8_0 {
  using Format = formats::FormatQ8_0;
  using Shape = WideShape;
  static constexpr int kOffsetShift = 7;

  template <typename Out>
  static QUERN_PART void block(RowSet rows, int64_t at, Out& out) {
    NI t[8];
    n_transpose16(rows, at + 2, t);
    n_transpose16(rows, at + 18, t + 4);
    QUERN_UNROLL
    for (int i = 0; i < 8; ++i) out.put_q(4 * i, n_xor(t[i], wide_flip()));
    out.put_scale(0, n_f16_of_low(first4(rows, at)));
  }
};

}  // namespace
}  // namespace quern::cpu

#include "kernels/cpu/unpack_grid-inl.h"
#include "kernels/cpu/unpack_iq4-inl.h"
#include "kernels/cpu/unpack_k-inl.h"
#include "kernels/cpu/unpack_mx-inl.h"
#include "kernels/cpu/unpack_small-inl.h"
