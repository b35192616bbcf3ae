// Bookkeeping of which token's text has been let out.
#include "engine/sequence/text_output.h"

#include <utility>

namespace quern::engine {

TextOutput::TextOutput(const tokenizer::Tokenizer& tokenizer,
                       tokenizer::StreamDecoder::Options options, std::vector<std::string> stops)
    : decoder_(tokenizer, options), stops_(std::move(stops)) {}

bool TextOutput::push(TokenId token, std::optional<TokenLogprob> logprob, Event& piece) {
  const uint64_t start = n_decoded_;
  const std::string text = decoder_.push(token);
  n_decoded_ += text.size();
  // Bytes that are still held belong to this token alone once any text came out with it.
  if (!text.empty() || !decoder_.has_pending()) {
    for (auto it = held_.rbegin(); it != held_.rend() && it->end == kOpen; ++it) {
      it->end = n_decoded_;
    }
  }
  const uint64_t end = decoder_.has_pending() ? kOpen : n_decoded_;
  held_.push_back({token, std::move(logprob), start, end});
  return pass_on(text, piece);
}

bool TextOutput::finish(Event& piece) {
  if (stops_.matched()) return false;
  const std::string text = decoder_.finish();
  n_decoded_ += text.size();
  if (pass_on(text, piece)) return true;
  const size_t before = piece.text.size();
  stops_.finish(piece.text);
  n_shown_ += piece.text.size() - before;
  while (!held_.empty()) show_front(piece);
  return false;
}

bool TextOutput::pass_on(std::string_view text, Event& piece) {
  const size_t before = piece.text.size();
  const bool stopped = stops_.push(text, piece.text);
  n_shown_ += piece.text.size() - before;
  while (!held_.empty() && held_.front().end <= n_shown_) show_front(piece);
  if (!stopped) return false;
  // Tokens of which at least a part came before the stop string.
  while (!held_.empty() && held_.front().start < n_shown_) show_front(piece);
  held_.clear();
  return true;
}

void TextOutput::show_front(Event& piece) {
  Held& front = held_.front();
  piece.tokens.push_back(front.token);
  if (front.logprob) piece.logprobs.push_back(std::move(*front.logprob));
  held_.pop_front();
}

}  // namespace quern::engine
