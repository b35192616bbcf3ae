// Regular expressions of JSON Schema ("pattern") as grammar for the inside of a JSON string.
//
// The ECMA-262 syntax without what is not regular or rarely meant: look-around, back references,
// word borders and Unicode properties are refused by name. Anchors may stand at the ends of the
// pattern and of its alternatives. As the standard says, a pattern without anchors is searched for.
// Lazy quantifiers mean the same language. No recursion: open groups stand on a stack.
// Source: ECMA-262, 22.2 (syntax of regular expressions); JSON Schema validation 6.3.3.
#pragma once

#include <cstdint>
#include <string_view>

#include "config/base/result.h"
#include "engine/grammar/json_text.h"

namespace quern::grammar {

inline constexpr uint64_t kEndless = UINT64_MAX;

struct Pattern {
  ExprId body = kNone;      // between the quotation marks
  uint64_t min_length = 0;  // characters of the texts it matches
  uint64_t max_length = 0;  // or kEndless
  // When the whole pattern is one repeated character ("^[a-z]+$"): that character.
  ExprId unit = kNone;
  uint32_t unit_min = 0;
  uint32_t unit_max = 0;
};

// Errors (kInvalidInput, kUnsupported) name the construct and its place in the pattern.
Result<Pattern> parse_pattern(std::string_view text, JsonText& json);

}  // namespace quern::grammar
