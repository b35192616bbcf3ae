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
      for (int g = 0; g < formats::kGroupsPerBlock<Format>; ++g) {
        int8_t q[kGroup];
        Format::unpack_group(block, g, q);
        const int at = v + g * kGroup;
        for (int i = 0; i < kGroup; ++i) {
          const int byte = (q[i] + kOffset) ^ flip;
          panel.q[((at + i) / 4 * kPanelRows + r) * 4 + i % 4] = static_cast<uint8_t>(byte);
        }
        panel.scale[at / kGroup * kPanelRows + r] = Format::group_scale(block, g);
        if constexpr (Format::kHasMin) {
          panel.min[at / kGroup * kPanelRows + r] = Format::group_min(block, g);
        }
      }
    }
  }
}

template <typename Format>
float oracle_dot(const std::byte* row, const int8_t* q, const float* d, int64_t n_in) {
  using Block = typename Format::Block;
  constexpr int kGroup = Format::kGroupValues;
  float acc = 0.0F;
  for (int64_t v = 0; v < n_in; v += Format::kBlockValues, row += sizeof(Block)) {
    Block block;
    std::memcpy(&block, row, sizeof(Block));
    for (int g = 0; g < formats::kGroupsPerBlock<Format>; ++g) {
      int8_t w[kGroup];
      Format::unpack_group(block, g, w);
      const int64_t at = v + g * kGroup;
      int32_t dot = 0;
      int32_t sum = 0;
      for (int i = 0; i < kGroup; ++i) {
        dot += w[i] * q[at + i];
        sum += q[at + i];
      }
      const float da = d[at / 32];
      const float scale = Format::group_scale(block, g) * da;
      acc = __builtin_fmaf(static_cast<float>(dot), scale, acc);
      if constexpr (Format::kHasMin) {
        const float sum_d = static_cast<float>(sum) * da;
        acc = __builtin_fmaf(-Format::group_min(block, g), sum_d, acc);
      }
    }
  }
  return acc;
}

template <typename Format>
constexpr FormatKernels make_kernels() {
  FormatKernels kernels{};
  if constexpr (formats::kIsQuantized<Format>) {
    static_assert(kChunkValues % Format::kBlockValues == 0);
    static_assert(!Format::kHasMin || Format::kQMin >= 0, "the panel kernels rely on it");
    kernels.quantized = true;
    kernels.panel = {Format::kGroupValues, Format::kHasMin, panel_code<Format>(),
                     offset_shift<Format>(), unpack_panel<Format>};
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
