// Encoders of the formats with codebooks: IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ1_S, IQ1_M.
//
// value = d * (2 * s + 1) * factor * q, where q comes from codebook entries (search_grid). As with
// the K formats: the best scale of each group from several starts, whole numbers s for them, steps
// of s with entries searched anew, and d fitted to what was chosen.
#pragma once

#include "kernels/formats/all_blocks.h"
#include "kernels/quantize/grid_search-inl.h"
#include "kernels/quantize/k-inl.h"

namespace quern::quantize {
namespace {

using namespace formats;

// What stands beside an entry.
enum class Aside : unsigned char {
  kSigns,         // 8 sign bits
  kEvenSigns,     // 7 sign bits; the eighth makes the number of minus signs even
  kShiftOfGroup,  // +1 or -1 is added to the levels, one choice per group
  kShiftOfEntry,
};

struct GridIq2Xxs {
  using Format = FormatIQ2_XXS;
  static constexpr Aside kAside = Aside::kEvenSigns;
  static constexpr int kDims = 8;
  static constexpr int kMostScale = 15;
  static constexpr float kFactor = 0.125F;
  static constexpr float kLevels[] = {8, 25, 43};
  QUERN_LANE_PART static const GridIndex& index() { return iq2_xxs_index(); }
  QUERN_LANE_PART static uint64_t entry(int i) { return kIq2XxsGrid[i]; }
};
struct GridIq2Xs : GridIq2Xxs {
  using Format = FormatIQ2_XS;
  QUERN_LANE_PART static const GridIndex& index() { return iq2_xs_index(); }
  QUERN_LANE_PART static uint64_t entry(int i) { return kIq2XsGrid[i]; }
};
struct GridIq2S : GridIq2Xxs {
  using Format = FormatIQ2_S;
  static constexpr Aside kAside = Aside::kSigns;
  QUERN_LANE_PART static const GridIndex& index() { return iq2_s_index(); }
  QUERN_LANE_PART static uint64_t entry(int i) { return kIq2SGrid[i]; }
};
struct GridIq3Xxs {
  using Format = FormatIQ3_XXS;
  static constexpr Aside kAside = Aside::kEvenSigns;
  static constexpr int kDims = 4;
  static constexpr int kMostScale = 15;
  static constexpr float kFactor = 0.25F;
  static constexpr float kLevels[] = {4, 12, 20, 28, 36, 44, 52, 62};
  QUERN_LANE_PART static const GridIndex& index() { return iq3_xxs_index(); }
  QUERN_LANE_PART static uint64_t entry(int i) { return kIq3XxsGrid[i]; }
};
struct GridIq3S {
  using Format = FormatIQ3_S;
  static constexpr Aside kAside = Aside::kSigns;
  static constexpr int kDims = 4;
  static constexpr int kMostScale = 15;
  static constexpr float kFactor = 1.0F;
  static constexpr float kLevels[] = {1, 3, 5, 7, 9, 11, 13, 15};
  QUERN_LANE_PART static const GridIndex& index() { return iq3_s_index(); }
  QUERN_LANE_PART static uint64_t entry(int i) { return kIq3SGrid[i]; }
};
struct GridIq1S {
  using Format = FormatIQ1_S;
  static constexpr Aside kAside = Aside::kShiftOfGroup;
  static constexpr int kDims = 8;
  static constexpr int kMostScale = 7;
  static constexpr float kFactor = 0.125F;
  static constexpr float kLevels[] = {-8, 0, 8};
  QUERN_LANE_PART static const GridIndex& index() { return iq1_index(); }
  QUERN_LANE_PART static uint64_t entry(int i) { return kIq1Grid[i]; }
};
struct GridIq1M : GridIq1S {
  using Format = FormatIQ1_M;
  static constexpr Aside kAside = Aside::kShiftOfEntry;
};

template <typename Grid>
inline constexpr bool kIsSigned =
    Grid::kAside == Aside::kSigns || Grid::kAside == Aside::kEvenSigns;
template <typename Grid>
inline constexpr int kGridGroups = 256 / Grid::Format::kGroupValues;

// A block on its way, everything in units of `unit`.
template <typename Grid>
struct GridBlock {
  static constexpr int kEntries = 256 / Grid::kDims;
  static constexpr int kGroups = kGridGroups<Grid>;

  GridValues<Grid::kDims> values;
  float x[256];
  float w[256];
  float unit;
  uint8_t signs[32];                // of the values, 8 a byte
  alignas(64) float odd[kEntries];  // 1 where the number of minus signs is odd
  // What was chosen.
  float scale[kGroups];  // s, a whole number
  uint16_t entry[kEntries];
  uint8_t aside[32];  // signs of 8 values, or 1 where the shift is negative
  float xq[kGroups];  // moments: sum of w x q and of w q q
  float qq[kGroups];
};

template <typename Grid>
QUERN_LANE_PART void load_grid_block(const float* src, const float* importance,
                                     GridBlock<Grid>& block) {
  block.unit = unit_of(peak_of(src, 256));
  const float inverse = 1.0F / block.unit;
  const Weighting weighting = weighting_of(importance, 256);
  for (int v = 0; v < 256; ++v) {
    block.x[v] = finite_or_end(src[v]) * inverse;
    block.w[v] = weight_at(weighting, v);
    const int k = v % Grid::kDims;
    const int c = v / Grid::kDims;
    block.values.x[k][c] = kIsSigned<Grid> ? __builtin_fabsf(block.x[v]) : block.x[v];
    block.values.w[k][c] = block.w[v];
  }
  for (int i = 0; i < 32; ++i) {
    int bits = 0;
    for (int k = 0; k < 8; ++k) bits |= (block.x[8 * i + k] < 0.0F ? 1 : 0) << k;
    block.signs[i] = static_cast<uint8_t>(bits);
    if constexpr (Grid::kDims == 8) {
      block.odd[i] = (__builtin_popcount(static_cast<unsigned>(bits)) & 1) != 0 ? 1.0F : 0.0F;
    }
  }
}

// A choice of entries for given group scales (what q is multiplied by).
template <typename Grid>
struct GridChoice {
  uint16_t entry[GridBlock<Grid>::kEntries];
  uint8_t aside[32];
  float xq[kGridGroups<Grid>];
  float qq[kGridGroups<Grid>];
};

// The 8 values q of byte i of `aside`.
template <typename Grid>
QUERN_LANE_PART void entry_values(const GridChoice<Grid>& choice, int i, int8_t* q) {
  if constexpr (!kIsSigned<Grid>) {
    iq1_unpack8(Grid::entry(choice.entry[i]), choice.aside[i] != 0 ? -1 : 1, q);
  } else if constexpr (Grid::kDims == 8) {
    iq_unpack8(Grid::entry(choice.entry[i]), choice.aside[i], q);
  } else {
    iq_unpack4(static_cast<uint32_t>(Grid::entry(choice.entry[2 * i])), choice.aside[i], q);
    iq_unpack4(static_cast<uint32_t>(Grid::entry(choice.entry[2 * i + 1])), choice.aside[i] >> 4,
               q + 4);
  }
}

template <typename Grid>
QUERN_LANE_PART void choice_moments(const GridBlock<Grid>& block, GridChoice<Grid>& choice) {
  constexpr int kValues = Grid::Format::kGroupValues;
  for (int g = 0; g < kGridGroups<Grid>; ++g) {
    float xq[8] = {};
    float qq[8] = {};
    for (int v = g * kValues; v < (g + 1) * kValues; v += 8) {
      int8_t q[8];
      entry_values(choice, v / 8, q);
      for (int k = 0; k < 8; ++k) {
        const float wq = block.w[v + k] * static_cast<float>(q[k]);
        xq[k] += wq * block.x[v + k];
        qq[k] += wq * static_cast<float>(q[k]);
      }
    }
    choice.xq[g] = ((xq[0] + xq[4]) + (xq[2] + xq[6])) + ((xq[1] + xq[5]) + (xq[3] + xq[7]));
    choice.qq[g] = ((qq[0] + qq[4]) + (qq[2] + qq[6])) + ((qq[1] + qq[5]) + (qq[3] + qq[7]));
  }
}

// Turns the sign around that costs least among `n` values from `v` on, whose entry is `entry`.
template <typename Grid>
QUERN_LANE_PART uint8_t with_one_turned(const GridBlock<Grid>& block, int v, int n, uint64_t entry,
                                        uint8_t signs) {
  int best = 0;
  float least = 0x1p120F;
  for (int k = 0; k < n; ++k) {
    const auto level = static_cast<float>((entry >> (8 * k)) & 0xFF);
    const float cost = block.w[v + k] * __builtin_fabsf(block.x[v + k]) * level;
    if (cost < least) {
      least = cost;
      best = k;
    }
  }
  return static_cast<uint8_t>(signs ^ (1 << (v % 8 + best)));
}

template <typename Grid>
QUERN_LANE_PART void take_entries(const GridPicks<GridBlock<Grid>::kEntries>& picks,
                                  GridChoice<Grid>& choice) {
  const GridIndex& index = Grid::index();
  for (int c = 0; c < GridBlock<Grid>::kEntries; ++c) {
    choice.entry[c] = index.entry[static_cast<int>(picks.pick[c])];
  }
}

// Signs stored apart: the grid holds magnitudes.
template <typename Grid>
QUERN_LANE_PART void choose_signed(const GridBlock<Grid>& block, const float* scale,
                                   GridChoice<Grid>& choice) {
  constexpr int kEntries = GridBlock<Grid>::kEntries;
  constexpr bool kEven = Grid::kAside == Aside::kEvenSigns;
  GridPicks<kEntries> picks;
  search_grid<kEven && Grid::kDims == 8>(block.values, scale, block.odd, Grid::kLevels,
                                         Grid::index(), picks);
  take_entries<Grid>(picks, choice);
  for (int i = 0; i < 32; ++i) choice.aside[i] = block.signs[i];
  if constexpr (kEven && Grid::kDims == 8) {
    for (int i = 0; i < 32; ++i) {
      if (block.odd[i] == 0.0F) continue;
      choice.aside[i] =
          with_one_turned(block, 8 * i, 8, Grid::entry(choice.entry[i]), choice.aside[i]);
    }
  }
  if constexpr (kEven && Grid::kDims == 4) {
    // Two entries share eight signs; the one with the wrong sign is where that costs less.
    GridPicks<kEntries> odd_picks;
    alignas(64) float all_odd[kEntries];
    for (float& flag : all_odd) flag = 1.0F;
    search_grid<true>(block.values, scale, all_odd, Grid::kLevels, Grid::index(), odd_picks);
    for (int i = 0; i < 32; ++i) {
      if ((__builtin_popcount(block.signs[i]) & 1) == 0) continue;
      const int c = 2 * i;
      const bool second =
          picks.cost[c] + odd_picks.cost[c + 1] < odd_picks.cost[c] + picks.cost[c + 1];
      const int turned = second ? c + 1 : c;
      choice.entry[turned] = Grid::index().entry[static_cast<int>(odd_picks.pick[turned])];
      choice.aside[i] =
          with_one_turned(block, 4 * turned, 4, Grid::entry(choice.entry[turned]), choice.aside[i]);
    }
  }
}

// Levels shifted by +1 or -1: both are searched.
template <typename Grid>
QUERN_LANE_PART void choose_shifted(const GridBlock<Grid>& block, const float* scale,
                                    GridChoice<Grid>& choice) {
  constexpr int kPerGroup = Grid::kAside == Aside::kShiftOfGroup ? 4 : 1;
  constexpr float kUp[] = {-7, 1, 9};
  constexpr float kDown[] = {-9, -1, 7};
  GridPicks<32> up;
  GridPicks<32> down;
  search_grid<false>(block.values, scale, block.odd, kUp, Grid::index(), up);
  search_grid<false>(block.values, scale, block.odd, kDown, Grid::index(), down);
  for (int first = 0; first < 32; first += kPerGroup) {
    float up_cost = 0.0F;
    float down_cost = 0.0F;
    for (int c = first; c < first + kPerGroup; ++c) {
      up_cost += up.cost[c];
      down_cost += down.cost[c];
    }
    const bool negative = down_cost < up_cost;
    for (int c = first; c < first + kPerGroup; ++c) {
      choice.entry[c] = Grid::index().entry[static_cast<int>(negative ? down.pick[c] : up.pick[c])];
      choice.aside[c] = negative ? 1 : 0;
    }
  }
}

template <typename Grid>
void choose_entries(const GridBlock<Grid>& block, const float* group_scale,
                    GridChoice<Grid>& choice) {
  constexpr int kPerGroup = Grid::Format::kGroupValues / Grid::kDims;
  alignas(64) float scale[GridBlock<Grid>::kEntries];
  for (int c = 0; c < GridBlock<Grid>::kEntries; ++c) scale[c] = group_scale[c / kPerGroup];
  if constexpr (kIsSigned<Grid>) {
    choose_signed<Grid>(block, scale, choice);
  } else {
    choose_shifted<Grid>(block, scale, choice);
  }
  choice_moments(block, choice);
}

// Takes over group g of a choice.
template <typename Grid>
QUERN_LANE_PART void keep_group(const GridChoice<Grid>& choice, int g, GridBlock<Grid>& block) {
  constexpr int kValues = Grid::Format::kGroupValues;
  constexpr int kPerGroup = kValues / Grid::kDims;
  for (int c = g * kPerGroup; c < (g + 1) * kPerGroup; ++c) block.entry[c] = choice.entry[c];
  for (int i = g * kValues / 8; i < (g + 1) * kValues / 8; ++i) block.aside[i] = choice.aside[i];
  block.xq[g] = choice.xq[g];
  block.qq[g] = choice.qq[g];
}

// Rounds each value to the nearest level, whether or not the codebook has the combination, and adds
// up the moments of each entry's place: a quick look at a scale.
template <typename Grid>
QUERN_LANE_PART void rounded_moments(const GridBlock<Grid>& block, const float* scale, float* xq,
                                     float* qq) {
  constexpr int kLevels = static_cast<int>(sizeof(Grid::kLevels) / sizeof(float));
  for (int at = 0; at < GridBlock<Grid>::kEntries; at += kLanes) {
    const Lanes inverse = inverse_or_zero(load(&scale[at]));
    Moments sum{};
    for (int k = 0; k < Grid::kDims; ++k) {
      const Lanes x = load(&block.values.x[k][at]);
      const Lanes v = x * inverse;
      Lanes q = splat(Grid::kLevels[0]);
      for (int l = 1; l < kLevels; ++l) {
        const float middle = 0.5F * (Grid::kLevels[l - 1] + Grid::kLevels[l]);
        q = select(v > middle, splat(Grid::kLevels[l]), q);
      }
      const Lanes wq = load(&block.values.w[k][at]) * q;
      sum.xq += wq * x;
      sum.qq += wq * q;
    }
    store(&xq[at], sum.xq);
    store(&qq[at], sum.qq);
  }
}

// For each group the scale at which rounding explains most, from several starts.
template <typename Grid, int n>
QUERN_LANE_PART void rounded_scales(const GridBlock<Grid>& block, const Starts<n>& starts,
                                    float* best) {
  constexpr int kEntries = GridBlock<Grid>::kEntries;
  constexpr int kValues = Grid::Format::kGroupValues;
  constexpr int kPerGroup = kValues / Grid::kDims;
  alignas(64) float scale[kEntries];
  alignas(64) float xq[kEntries];
  alignas(64) float qq[kEntries];
  float gain[kGridGroups<Grid>] = {};
  float peak[kGridGroups<Grid>];
  for (int g = 0; g < kGridGroups<Grid>; ++g) {
    best[g] = 0.0F;
    peak[g] = peak_of(block.x + g * kValues, kValues);
  }
  for (int i = 0; i < n; ++i) {
    for (int c = 0; c < kEntries; ++c) scale[c] = peak[c / kPerGroup] / starts.levels[i];
    rounded_moments(block, scale, xq, qq);
    for (int g = 0; g < kGridGroups<Grid>; ++g) {
      float sum_xq = 0.0F;
      float sum_qq = 0.0F;
      for (int c = g * kPerGroup; c < (g + 1) * kPerGroup; ++c) {
        sum_xq += xq[c];
        sum_qq += qq[c];
      }
      if (!(sum_xq > 0.0F && sum_qq > 0.0F)) continue;
      const float fit = sum_xq / sum_qq;
      if (fit * sum_xq <= gain[g]) continue;
      gain[g] = fit * sum_xq;
      best[g] = fit;
    }
  }
}

// The best free scale of each group: from what rounding suggests, made larger by each of the
// factors, since codebooks have few entries with several large values; then from the best so far.
template <typename Grid, int n, int n_factors>
QUERN_LANE_PART void free_scales(const GridBlock<Grid>& block, const Starts<n>& starts,
                                 const float (&factors)[n_factors], float* best) {
  GridChoice<Grid> choice;
  float gain[kGridGroups<Grid>] = {};
  float suggested[kGridGroups<Grid>];
  rounded_scales(block, starts, suggested);
  for (int g = 0; g < kGridGroups<Grid>; ++g) best[g] = 0.0F;
  for (int i = 0; i < n_factors + starts.refinements; ++i) {
    float scale[kGridGroups<Grid>];
    for (int g = 0; g < kGridGroups<Grid>; ++g) {
      scale[g] = i < n_factors ? suggested[g] * factors[i] : best[g];
    }
    choose_entries(block, scale, choice);
    for (int g = 0; g < kGridGroups<Grid>; ++g) {
      if (!(choice.qq[g] > 0.0F && choice.xq[g] > 0.0F)) continue;
      const float fit = choice.xq[g] / choice.qq[g];
      if (fit * choice.xq[g] <= gain[g]) continue;
      gain[g] = fit * choice.xq[g];
      best[g] = fit;
    }
  }
}

template <typename Grid>
QUERN_LANE_PART float scale_of(float d, float s) {
  return d * ((2.0F * s + 1.0F) * Grid::kFactor);
}

// For each group the better of the two whole numbers next to what it wants, with the entries that
// each gives.
template <typename Grid>
QUERN_LANE_PART void settle_scales(GridBlock<Grid>& block, float d, const float* wanted) {
  constexpr auto kMost = static_cast<float>(Grid::kMostScale);
  GridChoice<Grid> choice;
  float gain[kGridGroups<Grid>];
  float below[kGridGroups<Grid>];
  float scale[kGridGroups<Grid>];
  for (int g = 0; g < kGridGroups<Grid>; ++g) {
    gain[g] = -0x1p100F;
    const float steps = d == 0.0F ? 0.0F : wanted[g] / (d * Grid::kFactor);
    below[g] = whole_within(0.5F * (steps - 1.0F) - 0.5F, 0.0F, kMost);
  }
  for (int step = 0; step < 2; ++step) {
    for (int g = 0; g < kGridGroups<Grid>; ++g) {
      scale[g] = scale_of<Grid>(d, whole_within(below[g] + static_cast<float>(step), 0.0F, kMost));
    }
    choose_entries(block, scale, choice);
    for (int g = 0; g < kGridGroups<Grid>; ++g) {
      const float explained = scale[g] * (2.0F * choice.xq[g] - scale[g] * choice.qq[g]);
      if (!(explained > gain[g])) continue;
      gain[g] = explained;
      block.scale[g] = whole_within(below[g] + static_cast<float>(step), 0.0F, kMost);
      keep_group(choice, g, block);
    }
  }
}

// The d that fits the chosen entries and whole numbers best.
template <typename Grid>
QUERN_LANE_PART HalfScale refitted_d(const GridBlock<Grid>& block, HalfScale d) {
  float xq = 0.0F;
  float qq = 0.0F;
  for (int g = 0; g < kGridGroups<Grid>; ++g) {
    const float a = scale_of<Grid>(1.0F, block.scale[g]);
    xq += a * block.xq[g];
    qq += a * a * block.qq[g];
  }
  return qq > 0.0F && xq > 0.0F ? half_scale(xq / qq, block.unit) : d;
}

template <typename Grid, int n, int n_factors>
QUERN_LANE_PART HalfScale fit_grid(GridBlock<Grid>& block, const Starts<n>& starts,
                                   const float (&factors)[n_factors]) {
  float wanted[kGridGroups<Grid>];
  free_scales(block, starts, factors, wanted);
  float most = 0.0F;
  for (const float scale : wanted) most = scale > most ? scale : most;
  HalfScale d =
      half_scale(most / scale_of<Grid>(1.0F, static_cast<float>(Grid::kMostScale)), block.unit);
  settle_scales(block, d.value, wanted);
  return refitted_d(block, d);
}

template <typename Grid>
QUERN_LANE_PART int whole_scale(const GridBlock<Grid>& block, int g) {
  return static_cast<int>(block.scale[g]);
}

QUERN_LANE_PART void store_word(uint8_t* p, uint32_t word) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(word >> (8 * i));
}

// Sign codes of the four bytes of group g, and its scale above them.
template <typename Grid>
QUERN_LANE_PART uint32_t sign_word(const GridBlock<Grid>& block, int g) {
  uint32_t word = static_cast<uint32_t>(whole_scale(block, g)) << 28;
  for (int j = 0; j < 4; ++j)
    word |= static_cast<uint32_t>(block.aside[4 * g + j] & 0x7F) << (7 * j);
  return word;
}

template <typename Grid>
QUERN_LANE_PART void pack_scale_nibbles(const GridBlock<Grid>& block, uint8_t* scales) {
  for (int g = 0; g < kGridGroups<Grid>; g += 2) {
    scales[g / 2] = static_cast<uint8_t>(whole_scale(block, g) | (whole_scale(block, g + 1) << 4));
  }
}

QUERN_LANE_PART void pack_grid(const GridBlock<GridIq2Xxs>& from, uint16_t d, BlockIQ2_XXS& to) {
  to.d = d;
  for (int g = 0; g < 8; ++g) {
    for (int j = 0; j < 4; ++j) to.qs[8 * g + j] = static_cast<uint8_t>(from.entry[4 * g + j]);
    store_word(to.qs + 8 * g + 4, sign_word(from, g));
  }
}

QUERN_LANE_PART void pack_grid(const GridBlock<GridIq2Xs>& from, uint16_t d, BlockIQ2_XS& to) {
  to.d = d;
  for (int c = 0; c < 32; ++c) {
    to.qs[c] = static_cast<uint16_t>(from.entry[c] | ((from.aside[c] & 0x7F) << 9));
  }
  pack_scale_nibbles(from, to.scales);
}

QUERN_LANE_PART void pack_grid(const GridBlock<GridIq2S>& from, uint16_t d, BlockIQ2_S& to) {
  to.d = d;
  for (int i = 0; i < 8; ++i) {
    int high = 0;
    for (int j = 0; j < 4; ++j) {
      const int c = 4 * i + j;
      to.qs[c] = static_cast<uint8_t>(from.entry[c]);
      to.signs[c] = from.aside[c];
      high |= (from.entry[c] >> 8) << (2 * j);
    }
    to.qh[i] = static_cast<uint8_t>(high);
  }
  pack_scale_nibbles(from, to.scales);
}

QUERN_LANE_PART void pack_grid(const GridBlock<GridIq3Xxs>& from, uint16_t d, BlockIQ3_XXS& to) {
  to.d = d;
  for (int c = 0; c < 64; ++c) to.qs[c] = static_cast<uint8_t>(from.entry[c]);
  for (int g = 0; g < 8; ++g) store_word(to.words + 4 * g, sign_word(from, g));
}

QUERN_LANE_PART void pack_grid(const GridBlock<GridIq3S>& from, uint16_t d, BlockIQ3_S& to) {
  to.d = d;
  for (int i = 0; i < 8; ++i) {
    int high = 0;
    for (int j = 0; j < 8; ++j) {
      to.qs[8 * i + j] = static_cast<uint8_t>(from.entry[8 * i + j]);
      high |= (from.entry[8 * i + j] >> 8) << j;
    }
    to.qh[i] = static_cast<uint8_t>(high);
  }
  for (int i = 0; i < 32; ++i) to.signs[i] = from.aside[i];
  pack_scale_nibbles(from, to.scales);
}

QUERN_LANE_PART void pack_grid(const GridBlock<GridIq1S>& from, uint16_t d, BlockIQ1_S& to) {
  to.d = d;
  for (int g = 0; g < 8; ++g) {
    int high = (whole_scale(from, g) << 12) | (from.aside[4 * g] << 15);
    for (int j = 0; j < 4; ++j) {
      to.qs[4 * g + j] = static_cast<uint8_t>(from.entry[4 * g + j]);
      high |= (from.entry[4 * g + j] >> 8) << (3 * j);
    }
    to.qh[g] = static_cast<uint16_t>(high);
  }
}

QUERN_LANE_PART void pack_grid(const GridBlock<GridIq1M>& from, uint16_t d, BlockIQ1_M& to) {
  for (int i = 0; i < 16; ++i) {
    int nibbles = 0;
    for (int j = 0; j < 2; ++j) {
      const int c = 2 * i + j;
      to.qs[c] = static_cast<uint8_t>(from.entry[c]);
      nibbles |= ((from.entry[c] >> 8) | (from.aside[c] << 3)) << (4 * j);
    }
    to.qh[i] = static_cast<uint8_t>(nibbles);
  }
  for (int i = 0; i < 4; ++i) {
    int word = ((d >> (4 * i)) & 0x0F) << 12;
    for (int j = 0; j < 4; ++j) word |= whole_scale(from, 4 * i + j) << (3 * j);
    to.scales[i] = static_cast<uint16_t>(word);
  }
}

template <typename Grid, int n, int n_factors>
QUERN_LANE_PART void encode_grid(const float* src, const float* importance, std::byte* dst,
                                 int64_t n_values, const Starts<n>& starts,
                                 const float (&factors)[n_factors]) {
  GridBlock<Grid> block;
  auto* blocks = reinterpret_cast<typename Grid::Format::Block*>(dst);
  for (int64_t v = 0; v < n_values; v += 256) {
    load_grid_block(src + v, importance == nullptr ? nullptr : importance + v, block);
    const HalfScale d = fit_grid(block, starts, factors);
    pack_grid(block, d.bits, blocks[v / 256]);
  }
}

}  // namespace
}  // namespace quern::quantize
