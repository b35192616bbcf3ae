// Bytes to text without ever showing half a character.
#include <algorithm>

#include "config/base/check.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/unicode_text.h"

namespace quern::tokenizer {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

unsigned byte_at(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }

// Length of the longest prefix of `text` that begins some well-formed sequence without completing
// one; 0 if its first byte cannot begin a sequence. Precondition: no complete sequence is there.
size_t partial_length(std::string_view text) {
  if (text.empty()) return 0;
  const unsigned lead = byte_at(text, 0);
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const size_t full = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  size_t length = 1;
  while (length < full && length < text.size()) {
    const unsigned byte = byte_at(text, length);
    const bool fits = length == 1 ? byte >= low && byte <= high : (byte & 0xC0) == 0x80;
    if (!fits) break;
    ++length;
  }
  return length;
}

}  // namespace

void Utf8Stream::push(std::string_view bytes, std::string& out) {
  std::string joined;
  if (size_ > 0) {
    joined.assign(held_, size_).append(bytes);
    bytes = joined;
    size_ = 0;
  }
  while (!bytes.empty()) {
    const size_t whole = utf8_sequence_length(bytes);
    if (whole > 0) {
      out.append(bytes.substr(0, whole));
      bytes.remove_prefix(whole);
      continue;
    }
    const size_t partial = partial_length(bytes);
    if (partial == bytes.size()) {  // more may come
      CHECK(partial < sizeof(held_));
      std::copy(bytes.begin(), bytes.end(), held_);
      size_ = partial;
      return;
    }
    out.append(kReplacement);
    bytes.remove_prefix(std::max<size_t>(partial, 1));
  }
}

void Utf8Stream::finish(std::string& out) {
  if (size_ > 0) out.append(kReplacement);
  size_ = 0;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, Options options)
    : tokenizer_(&tokenizer),
      options_(options),
      drop_space_(options.at_start_of_text && tokenizer.drops_first_space()) {}

std::string StreamDecoder::push(TokenId id) {
  const std::string bytes = tokenizer_->bytes(id, options_.render_special);
  std::string_view rest = bytes;
  if (drop_space_ && !rest.empty() && tokenizer_->kind(id) != TokenKind::kControl) {
    if (rest.front() == ' ') rest.remove_prefix(1);
    drop_space_ = false;
  }
  std::string out;
  utf8_.push(rest, out);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out;
  utf8_.finish(out);
  drop_space_ = options_.at_start_of_text && tokenizer_->drops_first_space();
  return out;
}

}  // namespace quern::tokenizer
