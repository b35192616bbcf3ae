// The codebooks of the IQ formats arranged for a search of all entries: an entry is two halves, and
// entries with the same first half stand together, so that a search adds two looked-up numbers per
// entry.
#pragma once

#include <cstdint>

namespace quern::quantize {

// Half codes: the digits of a half's levels, the first value lowest. 4 values of 3 levels (81
// codes) or 2 values of 8 levels (64 codes).
struct GridIndex {
  static constexpr int kMostEntries = 2048;
  static constexpr int kMostRuns = 81;

  struct Run {
    uint16_t end;  // behind the last of its entries, which begin where the run before ends
    uint8_t first_half;
  };
  int n_runs = 0;
  Run runs[kMostRuns];
  uint8_t second_half[kMostEntries];
  uint16_t entry[kMostEntries];  // position in the codebook
};

// Built at the first use, from the tables of kernels/formats.
const GridIndex& iq2_xxs_index();
const GridIndex& iq2_xs_index();
const GridIndex& iq2_s_index();
const GridIndex& iq3_xxs_index();
const GridIndex& iq3_s_index();
const GridIndex& iq1_index();

}  // namespace quern::quantize
