// What to emit for bytes that no token covers.
//
// Order: the byte's own token, then the unknown token (once for a run), then an error. Used by the
// families that merge characters.
#pragma once

#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "models/tokenizer/vocabulary.h"

namespace quern::tokenizer {

inline constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581

// Appends tokens for `bytes`, one character of text.
Status append_byte_tokens(const Vocabulary& vocabulary, std::string_view bytes,
                          std::vector<TokenId>& out);

// `text` with every space as U+2581, after one more of them if `prefix`.
std::string escape_spaces(std::string_view text, bool prefix);

}  // namespace quern::tokenizer
