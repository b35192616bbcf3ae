// How fast a model will run on a machine, predicted from the file's header and the measured
// ceilings, before anything is loaded.
//
// A step that gives each of b sequences one token at depth d (tokens already in its context) needs
//
//   read     (weight bytes + b * d * KV bytes per token) / read bandwidth through a mapping
//   multiply 2 * b * weight values of a token / int8 rate
//   attend   4 * b * d * layers * query width / f32 rate
//
// and takes the longer of read and multiply, plus attend. Prefill multiplies the layers' weights
// for every token and attends to half of its own tokens on average. Of a mixture of experts a token
// multiplies its own experts, and a step reads those that any of its tokens uses
// (TokenWork::expert_share). The ceiling is that; the
// prediction divides by the shares of the ceilings that the kernels reach (kReadShare,
// kMultiplyShare).
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
