// One position of a reference model in few bytes: its likeliest tokens with their probabilities,
// the likeliest first, and how much is left for all others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "models/evaluate/windows.h"

namespace quern::evaluate {

// A log-probability in 16 bits: steps of 1/2048 from 0 down to -32, so its error is at most 2.5e-4
// and averages out.
struct ReferenceEntry {
  TokenId token = 0;
  uint16_t steps = 0;

  static constexpr double kStep = 1.0 / 2048;
  double log_probability() const { return -kStep * steps; }
};

struct ReferenceRow {
  float target_nll = 0;
  float rest = 0;                       // probability of all tokens that are not listed
  std::vector<ReferenceEntry> entries;  // descending, equal ones by token
};

struct ReferenceRowLimits {
  int32_t max_entries = 1024;
  double rest = 1e-3;  // stop when the tokens listed leave less than this
};

ReferenceRow make_reference_row(std::span<const float> logits, TokenId target,
                                const ReferenceRowLimits& limits = {});

}  // namespace quern::evaluate
