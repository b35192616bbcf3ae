// Progress and end of one sequence.
#include "engine/sequence/sequence.h"

#include <algorithm>
#include <utility>

#include "config/base/check.h"
#include "engine/sample/philox.h"

namespace quern::engine {
namespace {

// The answer begins a text when the prompt itself shows none (only BOS and the like).
bool shows_nothing(std::span<const TokenId> prompt, const tokenizer::Tokenizer& tokenizer) {
  return std::all_of(prompt.begin(), prompt.end(),
                     [&](TokenId id) { return tokenizer.bytes(id).empty(); });
}

int64_t limit_of_answer(const Request& request, int64_t context_tokens) {
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t room = std::max<int64_t>(0, context_tokens - n_prompt);
  if (!request.shift_keep) {
    return request.max_tokens < 0 ? room : std::min(room, request.max_tokens);
  }
  return request.max_tokens < 0 ? kMaxContextsPerAnswer * context_tokens : request.max_tokens;
}

int64_t nanoseconds(TimePoint from, TimePoint to) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count();
}

}  // namespace

Sequence::Sequence(Request request, const tokenizer::Tokenizer& tokenizer, int64_t context_tokens,
                   TimePoint now)
    : request_(std::move(request)),
      tokenizer_(&tokenizer),
      context_tokens_(context_tokens),
      tokens_(request_.prompt),
      max_drawn_(limit_of_answer(request_, context_tokens)),
      memory_(request_.sampling),
      output_(tokenizer, {.at_start_of_text = shows_nothing(tokens_, tokenizer)}, request_.stop),
      accepted_(now),
      last_token_(now) {
  usage_.prompt_tokens = static_cast<int64_t>(tokens_.size());
  begin_part();
  if (request_.constraint) {
    matcher_.emplace(request_.constraint,
                     tokenizer.drops_first_space() && shows_nothing(tokens_, tokenizer));
  }
}

void Sequence::begin_part() {
  n_prompt_ = static_cast<int64_t>(tokens_.size());
  const int64_t left = max_drawn_ - usage_.completion_tokens;
  max_in_all_ = std::max(n_prompt_, std::min(context_tokens_, n_prompt_ + left));
  memory_ = SampleMemory(request_.sampling);
  if (!memory_.wants_text()) return;
  for (const TokenId token : tokens_) memory_.note(tokenizer_->bytes(token, true));
}

void Sequence::shift() {
  CHECK(must_shift_);
  const auto n_tokens = static_cast<int64_t>(tokens_.size());
  const int64_t n_dropped = std::max<int64_t>(1, (n_tokens - *request_.shift_keep) / 2);
  const auto first = tokens_.begin() + static_cast<std::ptrdiff_t>(*request_.shift_keep);
  tokens_.erase(first, first + static_cast<std::ptrdiff_t>(n_dropped));
  ++usage_.shifts;
  usage_.shifted_tokens += n_dropped;
  request_.sampling.seed = next_seed(request_.sampling.seed);
  must_shift_ = false;
  begin_part();
}

void Sequence::note_step(TimePoint now) {
  if (!first_step_) first_step_ = now;
}

std::optional<FinishReason> Sequence::accept(TokenId token, std::optional<TokenLogprob> logprob,
                                             TimePoint now, Event& piece) {
  if (!first_token_) first_token_ = now;
  last_token_ = now;
  tokens_.push_back(token);
  ++usage_.completion_tokens;
  if (memory_.wants_text()) memory_.note(tokenizer_->bytes(token, true));
  if (tokenizer_->is_end_of_generation(token) && !request_.sampling.ignore_end_of_generation) {
    output_.finish(piece);
    return FinishReason::kStop;
  }
  if (output_.push(token, std::move(logprob), piece)) return FinishReason::kStop;
  // Nothing can follow, so there is no need to draw the end.
  if (matcher_ && matcher_->complete()) {
    output_.finish(piece);
    return FinishReason::kStop;
  }
  if (static_cast<int64_t>(tokens_.size()) < max_in_all_) return std::nullopt;
  must_shift_ = usage_.completion_tokens < max_drawn_;
  if (must_shift_) return std::nullopt;
  return output_.finish(piece) ? FinishReason::kStop : FinishReason::kLength;
}

Event Sequence::finished(FinishReason reason, TimePoint now) const {
  Event event;
  event.kind = Event::Kind::kFinished;
  event.reason = reason;
  if (reason == FinishReason::kStop) event.matched_stop = output_.matched_stop();
  event.usage = usage_;
  const TimePoint started = first_step_.value_or(now);
  event.timings.queue_ns = nanoseconds(accepted_, started);
  const TimePoint first = first_token_.value_or(now);
  event.timings.prefill_ns = nanoseconds(started, first);
  event.timings.decode_ns = first_token_ ? nanoseconds(first, last_token_) : 0;
  event.timings.total_ns = nanoseconds(accepted_, now);
  return event;
}

}  // namespace quern::engine
