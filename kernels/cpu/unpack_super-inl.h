// Where unpackers put blocks of formats with super-blocks: what unpack-inl.h does for others.
// Included by unpack-inl.h.
//
// Unpackers put a block's scale and minimum, and the factors of its groups in ascending order, each
// before the values of its group.
#pragma once

#include "kernels/cpu/matmul_super-inl.h"
#include "kernels/cpu/unpack-inl.h"

namespace quern::cpu {
namespace {

template <typename Format>
inline constexpr bool kHasSuperBlocks = Format::kBlockValues == kSuperValues;

// The words `low` and `high`, numbers of 16 bits.
QUERN_PART NI words_of(NI low, NI high) {
  return n_or(n_and(low, n_set_int(0xFFFF)), n_shl<16>(high));
}

// Where kLanes lanes of a block of a panel go. Values and groups count from the block's start.
template <typename Unpacker>
class SuperPanelOut {
 public:
  using Format = typename Unpacker::Format;
  using Shape = typename Unpacker::Shape;

  // `panel` starts at the block.
  QUERN_PART SuperPanelOut(const Panel& panel, int lane, PanelPrefetch& prefetch)
      : q_(panel.q + 4 * lane),
        factor_(panel.factor + lane),
        pairs_(panel.pairs + lane),
        scale_(panel.scale + lane),
        min_(panel.min + lane),
        ahead_(prefetch) {}

  QUERN_PART void put_q(int value, NI bytes) {
    n_store_bytes(q_ + value * kPanelRows, ahead_.step(bytes));
  }
  QUERN_PART void put_block_scale(NF v) { n_store(scale_, v); }
  QUERN_PART void put_block_min(NF v) { n_store(min_, v); }
  QUERN_PART void put_factor(int group, NI v) {
    store_ints(factor_ + group * kPanelRows, words_of(v, v));
    if constexpr (!Shape::kMin && kUsesPairs<Shape>) put_halves(group, v);
  }
  QUERN_PART void put_min_factor(int group, NI v) { put_halves(group, v); }

 private:
  static QUERN_PART void store_ints(int32_t* p, NI v) {
    n_store_bytes(reinterpret_cast<uint8_t*>(p), v);
  }
  // The factor of the half blocks of a group.
  QUERN_PART void put_halves(int group, NI v) {
    if constexpr (Format::kGroupValues == 32) {
      store_ints(pairs_ + group * kPanelRows, words_of(v, v));
    } else if (group % 2 == 0) {
      even_ = v;
    } else {
      store_ints(pairs_ + group / 2 * kPanelRows, words_of(even_, v));
    }
  }

  uint8_t* q_;
  int32_t* factor_;
  int32_t* pairs_;
  float* scale_;
  float* min_;
  BlockAhead<Format> ahead_;
  NI even_{};
};

// Unpacks whole blocks.
template <typename Unpacker>
QUERN_PART void unpack_super_blocks(const PanelChunk& chunk, const Panel& panel,
                                    PanelPrefetch& prefetch) {
  using Format = typename Unpacker::Format;
  constexpr int kBytes = sizeof(typename Format::Block);
  constexpr int kGroups = kSuperValues / Format::kGroupValues;
  const int64_t first = chunk.first_value / kSuperValues * kBytes;
  for (int b = 0; b < chunk.n_values / kSuperValues; ++b) {
    const Panel at = {panel.q + b * kSuperValues * kPanelRows, panel.scale + b * kPanelRows,
                      panel.min + b * kPanelRows, panel.factor + b * kGroups * kPanelRows,
                      panel.pairs + b * kSuperPairs * kPanelRows};
    for (int lane = 0; lane < kPanelRows; lane += kLanes) {
      SuperPanelOut<Unpacker> out(at, lane, prefetch);
      Unpacker::block(rows_from(chunk.rows, lane), first + int64_t{b} * kBytes, out);
    }
  }
}

// Takes its place when there is one column: the bytes are multiplied where they are, in registers,
// and never stored.
template <typename Unpacker>
class SuperDotOut {
 public:
  using Format = typename Unpacker::Format;
  using Shape = typename Unpacker::Shape;

  // `x` starts at the block.
  QUERN_PART SuperDotOut(const SuperColumns& x, PanelPrefetch& prefetch) : x_(x), ahead_(prefetch) {
    QUERN_UNROLL
    for (int g = 0; g < kGroups; ++g) dot_[g] = n_set_int(0);
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
  QUERN_PART void put_block_scale(NF v) { scale_ = v; }
  QUERN_PART void put_block_min(NF v) { min_ = v; }
  QUERN_PART void put_factor(int group, NI v) { factor_[group] = v; }
  QUERN_PART void put_min_factor(int group, NI v) { min_factor_[group] = v; }

  // As in multiply_super_panel.
  QUERN_PART NF add_to(NF acc) const {
    NI sum = n_set_int(0);
    QUERN_UNROLL
    for (int g = 0; g < kGroups; ++g) sum = n_fma_int(dot_[g], factor_[g], sum);
    const NF d = n_set(*x_.d);
    if constexpr (Shape::kCode == PanelCode::kOffset) {
      sum = n_sub_int(sum, n_shl<Unpacker::kOffsetShift>(dot_sums_with(factor_)));
    }
    NF block = n_mul(n_to_float(sum), scale_);
    if constexpr (Shape::kMin) {
      const NF min = n_mul(n_to_float(dot_sums_with(min_factor_)), min_);
      block = n_fms(n_to_float(sum), scale_, min);
    }
    return n_fma(block, d, acc);
  }

 private:
  static constexpr int kGroups = kSuperValues / Format::kGroupValues;

  // The sums of activations times the factors of their groups.
  QUERN_PART NI dot_sums_with(const NI* factors) const {
    NI sum = n_set_int(0);
    QUERN_UNROLL
    for (int p = 0; p < kSuperPairs; ++p) {
      const int group = 32 * p / Shape::kGroup;
      const NI pair = words_of(factors[group], factors[group + (Shape::kGroup == 16 ? 1 : 0)]);
      sum = n_dot_words(sum, pair, two_sums(x_.sums + 2 * p));
    }
    return sum;
  }

  const SuperColumns& x_;
  BlockAhead<Format> ahead_;
  NI dot_[kGroups];
  NI factor_[kGroups];
  NI min_factor_[kGroups];
  NF scale_;
  NF min_;
};

// Adds the products of a chunk with one column to accumulator[kPanelRows].
template <typename Unpacker>
QUERN_PART void dot_super_blocks(const PanelChunk& chunk, const SuperColumns& column,
                                 float* accumulator, PanelPrefetch& prefetch) {
  constexpr int kBytes = sizeof(typename Unpacker::Format::Block);
  for (int lane = 0; lane < kPanelRows; lane += kLanes) {
    const RowSet rows = rows_from(chunk.rows, lane);
    int64_t at = chunk.first_value / kSuperValues * kBytes;
    SuperColumns x = column;
    NF acc = n_load(accumulator + lane);
    for (int b = 0; b < chunk.n_values / kSuperValues; ++b) {
      SuperDotOut<Unpacker> out(x, prefetch);
      Unpacker::block(rows, at, out);
      acc = out.add_to(acc);
      at += kBytes;
      x = x.block(1);
    }
    n_store(accumulator + lane, acc);
  }
}

}  // namespace
}  // namespace quern::cpu
