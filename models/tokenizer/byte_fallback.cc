// See the header.
#include "models/tokenizer/byte_fallback.h"

#include <algorithm>

namespace quern::tokenizer {

Status append_byte_tokens(const Vocabulary& vocabulary, std::string_view bytes,
                          std::vector<TokenId>& out) {
  const bool all = std::all_of(bytes.begin(), bytes.end(), [&](char c) {
    return vocabulary.byte_token(static_cast<uint8_t>(c)).has_value();
  });
  if (all) {
    for (const char c : bytes) out.push_back(*vocabulary.byte_token(static_cast<uint8_t>(c)));
    return ok_status();
  }
  const auto unknown = vocabulary.special().unk;
  if (!unknown) {
    return Error(ErrorKind::kInvalidInput,
                 "text: the character \"" + std::string(bytes) +
                     "\" has no token, and the vocabulary has neither byte tokens nor "
                     "tokenizer.ggml.unknown_token_id; leave the character out");
  }
  if (out.empty() || out.back() != *unknown) out.push_back(*unknown);
  return ok_status();
}

std::string escape_spaces(std::string_view text, bool prefix) {
  std::string out;
  out.reserve(text.size() + text.size() / 4 + kEscapedSpace.size());
  if (prefix) out.append(kEscapedSpace);
  for (const char c : text) {
    if (c == ' ') {
      out.append(kEscapedSpace);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace quern::tokenizer
