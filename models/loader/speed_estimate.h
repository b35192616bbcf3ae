// How fast a model will run on a machine, predicted from the file's header and the measured
// ceilings, before anything is loaded.
//
// A step that gives each of b sequences one token at depth d (tokens already in its context) needs
//
//   read     (weight bytes + b * d * KV bytes per token) / read bandwidth through a mapping
//   multiply 2 * b * weight values of a token / int8 rate
//   attend   4 * b * d * layers * query width / f32 rate
//
// and takes at least the longer of read and multiply, plus attend: the ceiling. Prefill multiplies
// the layers' weights for every token and attends to half of its own tokens on average. Of a
// mixture of experts a token multiplies its own experts, and a step reads those that any of its
// tokens uses (TokenWork::expert_share). The prediction is the sum of the three, the latter two at
// the shares of their ceilings that kernels reach (kMultiplyShare, kTileShare, kAttendShare): what
// a step does beside reading is about what overlapping saves. The shares but
// kTileShare were fitted to a 1.1B model in Q4_K_M with 2 threads (AVX-512 VNNI, AMX), within 15 %.
// kTileShare is a first guess: it predicts 548 tokens/s for a prompt of 512 where 702 were measured
// (Q4_K_M), and 539 where 540 were (Q8_0).
#pragma once

#include "config/hardware/profile.h"
#include "models/loader/memory_estimate.h"

namespace quern::loader {

// Tokens per second, all sequences together; 0 where the ceiling was not measured.
struct SpeedEstimate {
  double ceiling = 0;
  double predicted = 0;
};

// `batch` sequences, one token each, at `depth`.
SpeedEstimate estimate_decode(const TokenWork& work, const hardware::Measured& machine, int batch,
                              int64_t depth);
// One prompt of `tokens` after `depth` others.
SpeedEstimate estimate_prefill(const TokenWork& work, const hardware::Measured& machine,
                               int64_t tokens, int64_t depth);

}  // namespace quern::loader
