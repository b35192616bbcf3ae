#include "models/evaluate/windows.h"

#include <algorithm>
#include <string>

namespace quern::evaluate {

Result<Windows> Windows::cut(const tokenizer::Tokenizer& tokenizer, std::string_view text,
                             int32_t context, int64_t max_windows) {
  if (context < kMinContext) {
    return Error(ErrorKind::kInvalidInput, "windows of " + std::to_string(context) +
                                               " tokens are too short to score; use at least " +
                                               std::to_string(kMinContext));
  }
  Windows out;
  out.context_ = context;
  QUERN_ASSIGN_OR_RETURN(out.tokens_, tokenizer.encode(text, tokenizer::SpecialParsing::kText));
  if (tokenizer.special().add_bos && tokenizer.special().bos) {
    out.first_token_ = tokenizer.special().bos;
    out.tokens_.insert(out.tokens_.begin(), *out.first_token_);
  }
  const auto whole = static_cast<int64_t>(out.tokens_.size()) / context;
  if (whole < 2) {
    return Error(
        ErrorKind::kInvalidInput,
        "the text has " + std::to_string(out.tokens_.size()) + " tokens, and two windows of " +
            std::to_string(context) +
            " are the least that says anything; give a longer text or a smaller --context");
  }
  out.n_windows_ = max_windows > 0 ? std::min(whole, max_windows) : whole;
  return out;
}

std::vector<TokenId> Windows::window(int64_t i) const {
  const auto first = tokens_.begin() + i * context_;
  std::vector<TokenId> out(first, first + context_);
  if (first_token_) out.front() = *first_token_;
  return out;
}

}  // namespace quern::evaluate
