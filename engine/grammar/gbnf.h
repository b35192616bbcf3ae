// GBNF text to the intermediate form.
//
// The dialect of llama.cpp's grammars: `name ::= alternatives`, "literals", [classes], `.`, groups,
// `* + ? {m} {m,} {m,n}`, `|`, # comments; the rule "root" is where matching begins. Duplicate and
// undefined rules, empty classes and unknown escapes are errors, not guesses. Token references
// (<name>, <[id]>) are refused by name.
// Source: documentation of GBNF in llama.cpp (grammars/README.md).
#pragma once

#include <string_view>

#include "config/base/result.h"
#include "engine/grammar/grammar.h"

namespace quern::grammar {

// Adds the rules of `text` to an empty grammar. Errors name line and column.
Status parse_gbnf(std::string_view text, Grammar& into);

}  // namespace quern::grammar
