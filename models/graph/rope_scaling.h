// Frequencies of rotary position embedding for every kind of context extension.
//
// Sources: Su et al. 2021 (RoPE), Chen et al. 2023 (linear position interpolation), Peng et al.
// 2023 (YaRN, equations for the ramp and the temperature), Ding et al. 2024 (LongRoPE). Llama 3's
// stretching arrives as divisors in the file.
#pragma once

#include <span>
#include <vector>

#include "models/arch/hyper_params.h"

namespace quern::graph {

struct RopeFrequencies {
  std::vector<float> inverse;  // [n_rot / 2]: angle per position of pair i
  float magnitude = 1;         // factor on cosine and sine
};

// `divisors` holds n_rot / 2 positive numbers from the file (rope_freqs, rope_factors_*), or is
// empty. Computed in double and rounded once, so that the table does not depend on the platform's
// float functions.
RopeFrequencies rope_frequencies(const arch::HyperParams& hyper, std::span<const float> divisors);

}  // namespace quern::graph
