// Log-softmax over a whole vocabulary in one fixed order of additions.
#include "engine/sample/logprobs.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "engine/sample/exact_math.h"

namespace quern::engine {

bool all_finite(std::span<const float> logits) {
  constexpr uint32_t kExponent = 0x7F800000U;
  uint32_t bad = 0;
  for (const float x : logits) bad |= (std::bit_cast<uint32_t>(x) & kExponent) == kExponent;
  return bad == 0;
}

TokenLogprob token_logprob(std::span<const float> logits, TokenId token, int32_t n_top) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += exact_exp(x - max);
  const double log_sum = exact_log(sum);
  const auto logprob = [&](TokenId id) {
    return static_cast<float>((logits[static_cast<size_t>(id)] - max) - log_sum);
  };

  TokenLogprob out;
  out.token = token;
  out.logprob = logprob(token);
  const size_t n = std::min(static_cast<size_t>(n_top), logits.size());
  if (n == 0) return out;
  const auto better = [&](TokenId a, TokenId b) {
    const float la = logits[static_cast<size_t>(a)];
    const float lb = logits[static_cast<size_t>(b)];
    return la != lb ? la > lb : a < b;
  };
  // The n best so far as a heap whose top is the worst of them.
  std::vector<TokenId> best;
  best.reserve(n + 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (best.size() == n && !better(id, best.front())) continue;
    best.push_back(id);
    std::push_heap(best.begin(), best.end(), better);
    if (best.size() > n) {
      std::pop_heap(best.begin(), best.end(), better);
      best.pop_back();
    }
  }
  std::sort_heap(best.begin(), best.end(), better);
  out.top.reserve(n);
  for (const TokenId id : best) out.top.emplace_back(id, logprob(id));
  return out;
}

}  // namespace quern::engine
