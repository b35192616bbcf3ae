// One token stream in the engine: what was asked, what is known so far, when things happened.
//
// Leaves pages and order to the scheduler, logits to the sampler, delivery to the engine.
// Invariant: tokens() is the prompt followed by every token drawn, but for what shifts have
// dropped, and stays within the context.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/grammar/matcher.h"
#include "engine/sample/memory.h"
#include "engine/sequence/text_output.h"
#include "engine/types/request.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::engine {

using TimePoint = std::chrono::steady_clock::time_point;

// Tokens that an answer without max_tokens may have, in contexts, when the context shifts.
inline constexpr int64_t kMaxContextsPerAnswer = 10;

class Sequence {
 public:
  // Precondition: `request` passed validate_request(). `tokenizer` must outlive the sequence.
  Sequence(Request request, const tokenizer::Tokenizer& tokenizer, int64_t context_tokens,
           TimePoint now);

  const Request& request() const { return request_; }
  std::span<const TokenId> tokens() const { return tokens_; }
  // Of tokens(), those that were there before the first draw: the prompt, or after a shift what it
  // has left.
  int64_t n_prompt() const { return n_prompt_; }
  // Tokens at which it ends by length or shifts: of the context, or prompt and max_tokens.
  int64_t max_tokens_in_all() const { return max_in_all_; }
  // Whether any token may be drawn at all.
  bool wants_tokens() const { return max_in_all_ > n_prompt_; }

  // The context is full and the answer goes on: call shift() before anything is computed.
  bool must_shift() const { return must_shift_; }
  bool shifted() const { return usage_.shifts > 0; }
  // Drops the older half of the tokens behind the first shift_keep. From here on the answer is that
  // of a fresh request whose prompt is tokens() and whose seed is next_seed() of the one before:
  // penalties, DRY, mirostat and positions begin anew with it. (A grammar and stop strings look at
  // the whole answer and go on.)
  void shift();

  // Where it stands in its grammar; null without one. Whoever draws a token tells it first.
  grammar::Matcher* matcher() { return matcher_ ? &*matcher_ : nullptr; }
  // What the sampler keeps of it.
  SampleMemory& sample_memory() { return memory_; }

  TimePoint accepted_at() const { return accepted_; }
  TimePoint last_token_at() const { return last_token_; }  // accepted_at() before there is one

  // Times for Timings: its first step begins; a token was drawn.
  void note_step(TimePoint now);

  // A token was drawn at the end. Adds what became visible to `piece`; returns the reason if the
  // answer is over.
  std::optional<FinishReason> accept(TokenId token, std::optional<TokenLogprob> logprob,
                                     TimePoint now, Event& piece);
  // The one kFinished event.
  Event finished(FinishReason reason, TimePoint now) const;

 private:
  void begin_part();

  Request request_;
  const tokenizer::Tokenizer* tokenizer_;
  int64_t context_tokens_;
  std::vector<TokenId> tokens_;
  int64_t max_drawn_;  // tokens of the whole answer
  Usage usage_;
  // Of the part since the last shift.
  int64_t n_prompt_ = 0;
  int64_t max_in_all_ = 0;
  bool must_shift_ = false;
  SampleMemory memory_;
  TextOutput output_;
  std::optional<grammar::Matcher> matcher_;
  TimePoint accepted_;
  std::optional<TimePoint> first_step_;
  std::optional<TimePoint> first_token_;
  TimePoint last_token_;
};

}  // namespace quern::engine
