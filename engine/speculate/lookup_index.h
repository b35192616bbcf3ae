// Where the last tokens of a sequence occurred before in it: what followed there may follow again.
//
// Remembers for every run of 1 to kMaxMatch tokens its last occurrence that something followed.
// Bounded: kMaxSlots entries of 4 bytes, where a newer run displaces an older one; every match is
// compared token by token, so a lost or a displaced run costs a guess and nothing else. Takes
// constant time per token, amortised, whatever the tokens are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/types/request.h"

namespace quern::engine {

class LookupIndex {
 public:
  static constexpr int kMaxMatch = 4;
  static constexpr size_t kMaxSlots = size_t{1} << 16;

  // Learns the tokens that have come since the last call. Precondition: `tokens` continues the
  // tokens of that call, and is shorter than 2^32.
  void extend(std::span<const TokenId> tokens);

  // The longest run at the end of `tokens` that occurred before, and the index of the token that
  // followed it; length 0: none. Precondition: `tokens` is what extend() was last called with.
  struct Match {
    int length = 0;
    size_t next = 0;
  };
  Match find(std::span<const TokenId> tokens) const;

  // What followed the match, `n` tokens; where it reaches the end of `tokens` it goes on with
  // itself, as a repetition does.
  static std::vector<TokenId> continuation(std::span<const TokenId> tokens, const Match& match,
                                           size_t n);

 private:
  void learn(std::span<const TokenId> tokens, size_t next);

  std::vector<uint32_t> slots_;  // index of the token that followed; 0: empty
  size_t n_learnt_ = 1;          // runs before these tokens are in the slots
};

}  // namespace quern::engine
