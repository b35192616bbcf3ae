// Finds the entry of a codebook that is nearest to 8 (or 4) values at a given scale, by trying all.
//
// The squared error of an entry is a sum over its values, and a value has few levels: the errors of
// all halves of entries are tabled first (81 or 64 sums), then an entry costs one addition and one
// comparison for all lanes together. Lane: one entry's place in the block.
#pragma once

#include "kernels/quantize/batch-inl.h"
#include "kernels/quantize/grid_index.h"

namespace quern::quantize {
namespace {

// 256 values by place in their entry: row k, lane c is value kDims * c + k.
template <int kDims>
struct GridValues {
  static constexpr int kEntries = 256 / kDims;
  alignas(64) float x[kDims][kEntries];  // magnitudes where signs are stored apart
  alignas(64) float w[kDims][kEntries];
};

// What a search of all lanes found.
template <int kEntries>
struct GridPicks {
  alignas(64) float cost[kEntries];  // sum of w (x - scale * level)^2
  alignas(64) float pick[kEntries];  // number in the order of GridIndex
};

// Errors of the halves of entries; `odd`: with the sign of the one value wrong where that costs
// least, for formats in which the number of minus signs must be even.
template <int kCodes, bool kOdd>
struct HalfCosts {
  Lanes even[2][kCodes];
  Lanes odd[2][kOdd ? kCodes : 1];
};

// Errors of value k at each level; `flipped` with the opposite sign.
template <int kDims, int kLevels>
QUERN_LANE_PART void level_costs(const GridValues<kDims>& values, int at, int k, Lanes scale,
                                 const float (&levels)[kLevels], Lanes* cost, Lanes* flipped) {
  const Lanes x = load(&values.x[k][at]);
  const Lanes w = load(&values.w[k][at]);
  for (int l = 0; l < kLevels; ++l) {
    const Lanes value = scale * levels[l];
    const Lanes error = x - value;
    cost[l] = w * error * error;
    const Lanes opposite = x + value;
    flipped[l] = w * opposite * opposite;
  }
}

// Sums of two values' costs, the first value's level lowest.
template <int kLevels, bool kOdd>
QUERN_LANE_PART void pair_costs(const Lanes* cost, const Lanes* flipped, Lanes* even, Lanes* odd) {
  for (int b = 0; b < kLevels; ++b) {
    for (int a = 0; a < kLevels; ++a) {
      even[a + kLevels * b] = cost[a] + cost[kLevels + b];
      if constexpr (kOdd) {
        odd[a + kLevels * b] =
            smaller(flipped[a] + cost[kLevels + b], cost[a] + flipped[kLevels + b]);
      }
    }
  }
}

// Entries of 8 values of 3 levels.
template <bool kOdd>
QUERN_LANE_PART void half_costs(const GridValues<8>& values, int at, Lanes scale,
                                const float (&levels)[3], HalfCosts<81, kOdd>& out) {
  for (int half = 0; half < 2; ++half) {
    Lanes cost[12];
    Lanes flipped[12];
    Lanes even[2][9];
    Lanes odd[2][9];
    for (int k = 0; k < 4; ++k) {
      level_costs(values, at, 4 * half + k, scale, levels, cost + 3 * k, flipped + 3 * k);
    }
    for (int pair = 0; pair < 2; ++pair) {
      pair_costs<3, kOdd>(cost + 6 * pair, flipped + 6 * pair, even[pair], odd[pair]);
    }
    for (int b = 0; b < 9; ++b) {
      for (int a = 0; a < 9; ++a) {
        out.even[half][a + 9 * b] = even[0][a] + even[1][b];
        if constexpr (kOdd) {
          out.odd[half][a + 9 * b] = smaller(odd[0][a] + even[1][b], even[0][a] + odd[1][b]);
        }
      }
    }
  }
}

// Entries of 4 values of 8 levels.
template <bool kOdd>
QUERN_LANE_PART void half_costs(const GridValues<4>& values, int at, Lanes scale,
                                const float (&levels)[8], HalfCosts<64, kOdd>& out) {
  for (int half = 0; half < 2; ++half) {
    Lanes cost[16];
    Lanes flipped[16];
    for (int k = 0; k < 2; ++k) {
      level_costs(values, at, 2 * half + k, scale, levels, cost + 8 * k, flipped + 8 * k);
    }
    pair_costs<8, kOdd>(cost, flipped, out.even[half], out.odd[half]);
  }
}

template <int kDims, int kLevels>
inline constexpr int kHalfCodes = kDims == 8 ? 81 : 64;

// The best entry of each lane for the lane's scale. With kOdd, one sign is wrong in the lanes that
// `odd` marks with 1.
template <bool kOdd, int kDims, int kLevels>
void search_grid(const GridValues<kDims>& values, const float* scale, const float* odd,
                 const float (&levels)[kLevels], const GridIndex& index,
                 GridPicks<GridValues<kDims>::kEntries>& out) {
  HalfCosts<kHalfCodes<kDims, kLevels>, kOdd> costs;
  for (int at = 0; at < GridValues<kDims>::kEntries; at += kLanes) {
    half_costs(values, at, load(&scale[at]), levels, costs);
    if constexpr (kOdd) {
      // Where the sign is right in all, an odd half is an even one.
      const Mask is_odd = load(&odd[at]) > 0.5F;
      for (auto& half : costs.odd) {
        const Lanes* even = costs.even[&half - costs.odd];
        for (int i = 0; i < kHalfCodes<kDims, kLevels>; ++i) {
          half[i] = select(is_odd, half[i], even[i]);
        }
      }
    }
    Lanes best = splat(0x1p120F);
    Lanes pick = splat(0.0F);
    Lanes number = splat(0.0F);
    int i = 0;
    for (int run = 0; run < index.n_runs; ++run) {
      const Lanes even = costs.even[0][index.runs[run].first_half];
      [[maybe_unused]] const Lanes odd_first = costs.odd[0][kOdd ? index.runs[run].first_half : 0];
      for (; i < index.runs[run].end; ++i) {
        const int second = index.second_half[i];
        Lanes cost = even + costs.even[1][second];
        if constexpr (kOdd) {
          cost = smaller(even + costs.odd[1][second], odd_first + costs.even[1][second]);
        }
        const Mask better = cost < best;
        best = select(better, cost, best);
        pick = select(better, number, pick);
        number += 1.0F;
      }
    }
    store(&out.cost[at], best);
    store(&out.pick[at], pick);
  }
}

}  // namespace
}  // namespace quern::quantize
