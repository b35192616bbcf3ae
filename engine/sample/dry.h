// DRY, "don't repeat yourself": the token that would prolong a repetition of what the sequence said
// before is penalised, the more the longer the repetition is.
//
// Source: p-e-w, text-generation-webui pull request 5677 (2024), with the meaning llama.cpp gives
// to its parameters. For each place where the last n tokens (n >= allowed_length) stand in the
// window before, the logit of the token that followed there is lowered by
// multiplier * base^(n - allowed_length), the longest repetition counting. Repetitions do not reach
// across a breaker, and a token that holds a whole breaker is never penalised. Here a breaker is
// looked for in the text of the tokens, so it is found however it is cut into tokens.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/types/request.h"

namespace quern::engine {

inline constexpr std::array<std::string_view, 4> kUsualDryBreakers = {"\n", ":", "\"", "*"};
inline constexpr size_t kMaxDryBreakers = 32;
inline constexpr size_t kMaxDryBreakerBytes = 64;

// Errors (kInvalidInput): too many, too long, empty.
Status validate_dry_breakers(std::span<const std::string> breakers);

// Where breakers stand in the text of a sequence. A step per byte and breaker (Knuth-Morris-Pratt),
// a byte of memory per token.
class DryBreakers {
 public:
  // Precondition: `breakers` passed validate_dry_breakers().
  explicit DryBreakers(std::span<const std::string> breakers);

  // The text of the next token.
  void push(std::string_view bytes);
  // Tokens since the one that completes the last breaker.
  size_t n_unbroken() const { return n_unbroken_; }
  // Whether token i of the sequence holds a whole breaker.
  bool holds(size_t i) const { return holds_[i] != 0; }

 private:
  struct Pattern {
    std::string text;
    std::vector<uint8_t> border;  // border[i]: longest proper border of the first i + 1 bytes
    size_t state = 0;             // bytes of `text` that end the text so far
  };

  std::vector<Pattern> patterns_;
  std::vector<uint8_t> holds_;
  size_t n_unbroken_ = 0;
};

// lengths[i]: how many tokens before token i of `window` equal the last ones of the window, at most
// `limit`, for 0 < i < size; lengths[0] is 0. Linear in the window (the Z algorithm on it reversed;
// Gusfield, "Algorithms on Strings, Trees and Sequences", 1997).
void repetition_lengths(std::span<const TokenId> window, size_t limit,
                        std::vector<int32_t>& lengths);

}  // namespace quern::engine
