// Progress and end of one sequence.
#include "engine/sequence/sequence.h"

#include <algorithm>
#include <utility>

namespace quern::engine {
namespace {

// The answer begins a text when the prompt itself shows none (only BOS and the like).
bool shows_nothing(std::span<const TokenId> prompt, const tokenizer::Tokenizer& tokenizer) {
  return std::all_of(prompt.begin(), prompt.end(),
                     [&](TokenId id) { return tokenizer.bytes(id).empty(); });
}

int64_t limit_in_all(const Request& request, int64_t context_tokens) {
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t room = std::max<int64_t>(0, context_tokens - n_prompt);
  return n_prompt + (request.max_tokens < 0 ? room : std::min(room, request.max_tokens));
}

int64_t nanoseconds(TimePoint from, TimePoint to) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count();
}

}  // namespace

Sequence::Sequence(Request request, const tokenizer::Tokenizer& tokenizer, int64_t context_tokens,
                   TimePoint now)
    : request_(std::move(request)),
      tokenizer_(&tokenizer),
      tokens_(request_.prompt),
      n_prompt_(static_cast<int64_t>(tokens_.size())),
      max_in_all_(limit_in_all(request_, context_tokens)),
      output_(tokenizer, {.at_start_of_text = shows_nothing(tokens_, tokenizer)}, request_.stop),
      accepted_(now),
      last_token_(now) {
  if (request_.constraint) {
    matcher_.emplace(request_.constraint,
                     tokenizer.drops_first_space() && shows_nothing(tokens_, tokenizer));
  }
}

void Sequence::note_step(TimePoint now) {
  if (!first_step_) first_step_ = now;
}

std::optional<FinishReason> Sequence::accept(TokenId token, std::optional<TokenLogprob> logprob,
                                             TimePoint now, Event& piece) {
  if (!first_token_) first_token_ = now;
  last_token_ = now;
  tokens_.push_back(token);
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
  return output_.finish(piece) ? FinishReason::kStop : FinishReason::kLength;
}

Event Sequence::finished(FinishReason reason, TimePoint now) const {
  Event event;
  event.kind = Event::Kind::kFinished;
  event.reason = reason;
  if (reason == FinishReason::kStop) event.matched_stop = output_.matched_stop();
  event.usage.prompt_tokens = n_prompt_;
  event.usage.completion_tokens = static_cast<int64_t>(tokens_.size()) - n_prompt_;
  const TimePoint started = first_step_.value_or(now);
  event.timings.queue_ns = nanoseconds(accepted_, started);
  const TimePoint first = first_token_.value_or(now);
  event.timings.prefill_ns = nanoseconds(started, first);
  event.timings.decode_ns = first_token_ ? nanoseconds(first, last_token_) : 0;
  event.timings.total_ns = nanoseconds(accepted_, now);
  return event;
}

}  // namespace quern::engine
