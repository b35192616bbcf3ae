// Log-probabilities as the OpenAI API defines them: log-softmax of the model's own logits, before
// bias, penalties and temperature.
#pragma once

#include <cstdint>
#include <span>

#include "engine/types/request.h"

namespace quern::engine {

// Most alternatives that a request may ask for per token.
inline constexpr int32_t kMaxTopLogprobs = 128;

// Whether every logit is finite.
bool all_finite(std::span<const float> logits);

// Log-probability of `token` and of the `n_top` best tokens, descending, ties to the lower id.
// Preconditions: all_finite(logits), token inside them, 0 <= n_top.
TokenLogprob token_logprob(std::span<const float> logits, TokenId token, int32_t n_top);

}  // namespace quern::engine
