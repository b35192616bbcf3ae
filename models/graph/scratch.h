// The intermediate values of a step: one allocation, laid out once for the largest step.
//
// Attention and feed-forward share their wide region, since one is dead when the other begins; so
// do the chosen experts and the shared one.
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

  // With experts only. gate_up then has a row of 2 * n_expert_feed_forward for each token and
  // expert used, or of 2 * n_shared_feed_forward for each token, whichever takes more.
  float* router_logits = nullptr;   // [max_tokens, n_experts]
  float* expert_outputs = nullptr;  // [max_tokens * n_experts_used, n_embedding]
  float* shared_output = nullptr;   // [max_tokens, n_embedding], if there is a shared expert
  float* shared_gate = nullptr;     // [max_tokens], if there is a shared expert
  ops::ExpertRouting routing = {};

  std::unique_ptr<backend::Buffer> buffer;
};

// max_tokens >= 1, max_outputs >= 0. Out of memory says how much a step of that size needs.
Result<Scratch> make_scratch(backend::Backend& backend, const arch::HyperParams& hyper,
                             int32_t max_tokens, int32_t max_outputs);

}  // namespace quern::graph
