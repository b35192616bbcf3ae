// The intermediate values of a step: one allocation, laid out once for the largest step.
//
// Attention and feed-forward share their wide region, since one is dead when the other begins.
#pragma once

#include <cstdint>
#include <memory>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/arch/hyper_params.h"

namespace quern::graph {

struct Scratch {
  float* hidden = nullptr;           // [max_tokens, n_embedding]: the residual stream
  float* normed = nullptr;           // [max_tokens, n_embedding]: input of a part, then its output
  float* qkv = nullptr;              // [max_tokens, query + key + value width]
  float* attended = nullptr;         // [max_tokens, query width]
  float* gate_up = nullptr;          // [max_tokens, 2 * n_feed_forward]; overlaps qkv and attended
  float* cosine = nullptr;           // [max_tokens, n_rot / 2]
  float* sine = nullptr;             // [max_tokens, n_rot / 2]
  float* selected_hidden = nullptr;  // [max_outputs, n_embedding]
  float* selected_attended = nullptr;  // [max_outputs, query width]
  float* logits = nullptr;             // [max_outputs, n_vocab]

  std::unique_ptr<backend::Buffer> buffer;
};

// max_tokens >= 1, max_outputs >= 0. Out of memory says how much a step of that size needs.
Result<Scratch> make_scratch(backend::Backend& backend, const arch::HyperParams& hyper,
                             int32_t max_tokens, int32_t max_outputs);

}  // namespace quern::graph
