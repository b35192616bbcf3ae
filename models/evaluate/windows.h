// How a text is cut for perplexity: windows of one context length side by side, without overlap,
// each a text of its own; of each window the second half is scored, so that every scored token has
// at least half a context before it. The tail that fills no window is left out. This is the
// windowing of llama.cpp's perplexity tool, whose figures people compare.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::evaluate {

using tokenizer::TokenId;

inline constexpr int32_t kMinContext = 8;

class Windows {
 public:
  // Errors: a text of less than two windows (with both counts), a context below kMinContext.
  // max_windows 0: all.
  static Result<Windows> cut(const tokenizer::Tokenizer& tokenizer, std::string_view text,
                             int32_t context, int64_t max_windows);

  int64_t count() const { return n_windows_; }
  int32_t context() const { return context_; }
  // Rows of logits that are scored per window: those of positions first_scored() up to the last but
  // one, each of which predicts the token after it.
  int32_t first_scored() const { return context_ / 2; }
  int32_t n_scored() const { return context_ - 1 - first_scored(); }
  // Tokens of window i, [context]. With BOS in the first place where the vocabulary wants one.
  std::vector<TokenId> window(int64_t i) const;
  // Of the whole text, BOS included.
  int64_t n_tokens() const { return static_cast<int64_t>(tokens_.size()); }

 private:
  std::vector<TokenId> tokens_;
  int32_t context_ = 0;
  int64_t n_windows_ = 0;
  std::optional<TokenId> first_token_;
};

}  // namespace quern::evaluate
