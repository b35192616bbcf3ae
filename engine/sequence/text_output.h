// Generated tokens to pieces of text: decodes, watches for stop strings, and keeps each token back
// until its text is out.
//
// Leaves the choice of tokens and the end by length to Sequence. Invariant: texts of all pieces
// concatenated are the decoded tokens up to the first stop string; each shown token is in exactly
// one piece, in order.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sequence/stop_matcher.h"
#include "engine/types/request.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::engine {

class TextOutput {
 public:
  // `tokenizer` must outlive it.
  TextOutput(const tokenizer::Tokenizer& tokenizer, tokenizer::StreamDecoder::Options options,
             std::vector<std::string> stops);

  // Adds what became visible with this token to `piece` (kText). True when a stop string is
  // complete; nothing more may be pushed then. Precondition: tokenizer.contains(token).
  bool push(TokenId token, std::optional<TokenLogprob> logprob, Event& piece);
  // The answer is over: adds what was held back. True when that completed a stop string.
  bool finish(Event& piece);

  std::string_view matched_stop() const { return stops_.match(); }

 private:
  struct Held {
    TokenId token;
    std::optional<TokenLogprob> logprob;
    uint64_t start;  // in bytes of decoded text
    uint64_t end;    // kOpen while the decoder holds bytes of it
  };
  static constexpr uint64_t kOpen = UINT64_MAX;

  bool pass_on(std::string_view text, Event& piece);
  void show_front(Event& piece);

  tokenizer::StreamDecoder decoder_;
  StopMatcher stops_;
  std::deque<Held> held_;
  uint64_t n_decoded_ = 0;  // bytes
  uint64_t n_shown_ = 0;    // bytes
};

}  // namespace quern::engine
