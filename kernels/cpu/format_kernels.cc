// The arithmetic here is the definition that all rows are tested against; see README.md.
#include "kernels/cpu/format_kernels.h"

#include <array>
#include <cstring>

#include "kernels/formats/all_blocks.h"
#include "kernels/formats/decode.h"

namespace quern::cpu {
namespace {

// The smallest n for which q + 2^n lies in 0..127; 7 if there is none.
template <typename Format>
constexpr int offset_shift() {
  for (int n = 0; n < 7; ++n) {
    if (Format::kQMin + (1 << n) >= 0 && Format::kQMax + (1 << n) <= 127) return n;
  }
  return 7;
}

template <typename Format>
constexpr PanelCode panel_code() {
  if (Format::kQMin >= 0) return PanelCode::kUnsigned;
  return offset_shift<Format>() < 7 ? PanelCode::kOffset : PanelCode::kWide;
}

template <typename Format>
constexpr bool has_super_blocks() {
  return Format::kBlockValues == kSuperValues;
}

// Two 16-bit numbers in a lane of Panel::factor or Panel::pairs.
constexpr int32_t lane_of(int low, int high) {
  return static_cast<int32_t>((static_cast<uint32_t>(high) << 16) |
                              (static_cast<uint32_t>(low) & 0xFFFFU));
}

// Scales of a group, of a format without super-blocks.
template <typename Format>
void unpack_group_scales(const typename Format::Block& block, int group, int lane,
                         const Panel& panel) {
  panel.scale[group * kPanelRows + lane] = Format::group_scale(block, group);
  if constexpr (Format::kHasMin) {
    panel.min[group * kPanelRows + lane] = Format::group_min(block, group);
  }
}

// Scales and whole numbers of a super-block, all planes from its start.
template <typename Format>
void unpack_factors(const typename Format::Block& block, int lane, const Panel& panel) {
  constexpr int kHalves = Format::kGroupValues / 16;
  panel.scale[lane] = Format::block_scale(block);
  if constexpr (Format::kHasMin) panel.min[lane] = Format::block_min(block);
  int halves[kSuperValues / 16];
  for (int g = 0; g < formats::kGroupsPerBlock<Format>; ++g) {
    const int factor = Format::group_factor(block, g);
    panel.factor[g * kPanelRows + lane] = lane_of(factor, factor);
    int half = factor;
    if constexpr (Format::kHasMin) half = Format::group_min_factor(block, g);
    for (int h = 0; h < kHalves; ++h) halves[g * kHalves + h] = half;
  }
  for (int p = 0; p < kSuperValues / 32; ++p) {
    panel.pairs[p * kPanelRows + lane] = lane_of(halves[2 * p], halves[2 * p + 1]);
  }
}

// The same planes, n_values further.
template <typename Format>
Panel advanced(const Panel& panel, int n_values) {
  constexpr bool kSuper = has_super_blocks<Format>();
  const int groups = n_values / Format::kGroupValues * kPanelRows;
  const int scales = kSuper ? n_values / kSuperValues * kPanelRows : groups;
  return {panel.q + n_values * kPanelRows, panel.scale + scales, panel.min + scales,
          panel.factor + groups, panel.pairs + n_values / 32 * kPanelRows};
}

template <typename Format>
void unpack_panel(RowSet rows, int64_t first_value, int n_values, uint8_t flip,
                  const Panel& panel) {
  using Block = typename Format::Block;
  static_assert(kPanelRows * kChunkValues / Format::kBlockValues * sizeof(Block) <= kTailBytes);
  constexpr int kGroup = Format::kGroupValues;
  constexpr int kOffset =
      panel_code<Format>() == PanelCode::kOffset ? 1 << offset_shift<Format>() : 0;
  const int64_t first_block = first_value / Format::kBlockValues;
  for (int r = 0; r < kPanelRows; ++r) {
    const std::byte* src =
        rows.base + r * rows.stride + first_block * static_cast<int64_t>(sizeof(Block));
    for (int v = 0; v < n_values; v += Format::kBlockValues, src += sizeof(Block)) {
      Block block;
      std::memcpy(&block, src, sizeof(Block));
      const Panel out = advanced<Format>(panel, v);
      if constexpr (has_super_blocks<Format>()) unpack_factors<Format>(block, r, out);
      for (int g = 0; g < formats::kGroupsPerBlock<Format>; ++g) {
        int8_t q[kGroup];
        Format::unpack_group(block, g, q);
        for (int i = 0; i < kGroup; ++i) {
          const int byte = (q[i] + kOffset) ^ flip;
          const int value = g * kGroup + i;
          out.q[(value / 4 * kPanelRows + r) * 4 + value % 4] = static_cast<uint8_t>(byte);
        }
        if constexpr (!has_super_blocks<Format>()) unpack_group_scales<Format>(block, g, r, out);
      }
    }
  }
}

struct GroupSums {
  int32_t dot;  // of weights and activations
  int32_t sum;  // of activations
};

template <typename Format>
GroupSums sums_of(const typename Format::Block& block, int group, const int8_t* q) {
  int8_t w[Format::kGroupValues];
  Format::unpack_group(block, group, w);
  GroupSums sums{};
  for (int i = 0; i < Format::kGroupValues; ++i) {
    sums.dot += w[i] * q[i];
    sums.sum += q[i];
  }
  return sums;
}

// One block, its activations in blocks of 32.
template <typename Format>
float add_groups(const typename Format::Block& block, const int8_t* q, const float* d, float acc) {
  for (int g = 0; g < formats::kGroupsPerBlock<Format>; ++g) {
    const int value = g * Format::kGroupValues;
    const GroupSums sums = sums_of<Format>(block, g, q + value);
    const float da = d[value / 32];
    const float scale = Format::group_scale(block, g) * da;
    acc = __builtin_fmaf(static_cast<float>(sums.dot), scale, acc);
    if constexpr (Format::kHasMin) {
      const float sum_d = static_cast<float>(sums.sum) * da;
      acc = __builtin_fmaf(-Format::group_min(block, g), sum_d, acc);
    }
  }
  return acc;
}

// One super-block.
template <typename Format>
float add_super_block(const typename Format::Block& block, const int8_t* q, float da, float acc) {
  int32_t dot = 0;
  int32_t min = 0;
  for (int g = 0; g < formats::kGroupsPerBlock<Format>; ++g) {
    const GroupSums sums = sums_of<Format>(block, g, q + g * Format::kGroupValues);
    dot += Format::group_factor(block, g) * sums.dot;
    if constexpr (Format::kHasMin) min += Format::group_min_factor(block, g) * sums.sum;
  }
  const float scale = Format::block_scale(block);
  float sum = static_cast<float>(dot) * scale;
  if constexpr (Format::kHasMin) {
    sum = __builtin_fmaf(static_cast<float>(dot), scale,
                         -(static_cast<float>(min) * Format::block_min(block)));
  }
  return __builtin_fmaf(sum, da, acc);
}

template <typename Format>
float oracle_dot(const std::byte* row, const MatmulTask& task, int64_t column) {
  using Block = typename Format::Block;
  float acc = 0.0F;
  for (int64_t v = 0; v < task.n_in; v += Format::kBlockValues, row += sizeof(Block)) {
    Block block;
    std::memcpy(&block, row, sizeof(Block));
    if constexpr (has_super_blocks<Format>()) {
      const int64_t at = v / kSuperValues * task.xs.block_rows + column;
      acc = add_super_block<Format>(block, task.xs.q + at * kSuperValues, task.xs.d[at], acc);
    } else {
      const int8_t* q = task.xq.q + column * task.xq.q_stride;
      const float* d = task.xq.d + column * task.xq.block_stride;
      acc = add_groups<Format>(block, q + v, d + v / 32, acc);
    }
  }
  return acc;
}

// What the bounds of kernel_types.h and the panel kernels rely on.
template <typename Format>
constexpr bool sums_fit() {
  if constexpr (has_super_blocks<Format>()) {
    constexpr int64_t kQ = Format::kQMax > -Format::kQMin ? Format::kQMax : -Format::kQMin;
    constexpr int64_t kFactor =
        Format::kFactorMax > -Format::kFactorMin ? Format::kFactorMax : -Format::kFactorMin;
    // With bytes moved by up to 128, and with products split by 256.
    static_assert((kQ + 128) * kFactor * 127 * kSuperValues < INT64_C(1) << 31);
    static_assert(kQ * kFactor < 256 * 128);
  }
  return true;
}

template <typename Format>
constexpr FormatKernels make_kernels() {
  FormatKernels kernels{};
  if constexpr (formats::kIsQuantized<Format>) {
    static_assert(kChunkValues % Format::kBlockValues == 0);
    static_assert(!Format::kHasMin || Format::kQMin >= 0, "the panel kernels rely on it");
    static_assert(sums_fit<Format>());
    constexpr bool kSuper = has_super_blocks<Format>();
    kernels.input = kSuper ? ActivationForm::kSuperBlocks : ActivationForm::kBlocks;
    kernels.panel = {kSuper,
                     Format::kGroupValues,
                     Format::kHasMin,
                     panel_code<Format>(),
                     offset_shift<Format>(),
                     unpack_panel<Format>};
    kernels.oracle = oracle_dot<Format>;
  }
  return kernels;
}

constexpr std::array<FormatKernels, formats::kFormatCount> kKernels = {
#define QUERN_FORMAT(id, name, traits) make_kernels<formats::traits>(),
#include "kernels/formats/format_list.inc"
#undef QUERN_FORMAT
};

}  // namespace

const FormatKernels& format_kernels(formats::FormatId id) {
  return kKernels[static_cast<size_t>(id)];
}

}  // namespace quern::cpu
