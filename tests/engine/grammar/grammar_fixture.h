// Grammars from text to a constraint over a small vocabulary of single bytes and some words.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar/constraint.h"
#include "engine/grammar/gbnf.h"
#include "engine/grammar/json_schema.h"
#include "engine/grammar/matcher.h"

namespace quern::grammar {

using ConstraintPointer = std::shared_ptr<const Constraint>;

inline constexpr TokenId kEndToken = 0;

// Id 0 ends a generation; 1 + b is byte b; then words of JSON and prose, some across borders of
// characters.
inline std::vector<std::string> small_vocabulary() {
  std::vector<std::string> texts(1);
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  for (const char* word : {"true",        "false",    "null",
                           "\":",         "\",\"",    "{\"",
                           "\"}",         "[",        "],",
                           "}}",          " {",       " \"",
                           "\n",          "\n  ",     "    ",
                           "ab",          "abc",      "hello",
                           " world",      "aa",       "aaa",
                           "aaaa",        "aaaaaaaa", "12",
                           "123",         "0.",       "-1",
                           "\\u00",       "\\n",      "\xC3\xA9",
                           "\xE2\x82",    "\xAC\"",   "\xF0\x9F\x98\x80",
                           "caf\xC3\xA9", "caf\xC3",  "name",
                           "\"name\":",   "value\"}", "a\"",
                           "aaa\"",       "bb]",      "\", "}) {
    texts.emplace_back(word);
  }
  return texts;
}

inline std::shared_ptr<const TokenTrie> small_trie() {
  static const std::shared_ptr<const TokenTrie> trie =
      TokenTrie::build(small_vocabulary(), {kEndToken});
  return trie;
}

inline Result<Automaton> automaton_of_gbnf(std::string_view text, const Limits& limits = {}) {
  Budget budget(limits, Budget::Clock::now() + std::chrono::seconds(20));
  Grammar grammar(budget);
  QUERN_RETURN_IF_ERROR(parse_gbnf(text, grammar));
  return compile(grammar);
}

inline Result<ConstraintPointer> from_gbnf(std::string_view text, const Limits& limits = {}) {
  QUERN_ASSIGN_OR_RETURN(Automaton automaton, automaton_of_gbnf(text, limits));
  return Constraint::create(std::move(automaton), small_trie());
}

inline Result<ConstraintPointer> from_schema(const Json& schema, const Limits& limits = {}) {
  Budget budget(limits, Budget::Clock::now() + std::chrono::seconds(20));
  Grammar grammar(budget);
  QUERN_RETURN_IF_ERROR(parse_json_schema(schema, grammar));
  QUERN_ASSIGN_OR_RETURN(Automaton automaton, compile(grammar));
  return Constraint::create(std::move(automaton), small_trie());
}

inline Result<ConstraintPointer> from_schema_text(std::string_view text,
                                                  const Limits& limits = {}) {
  QUERN_ASSIGN_OR_RETURN(const Json schema, parse_json(text));
  return from_schema(schema, limits);
}

// "ok", or the message of the error.
template <typename T>
std::string outcome(const Result<T>& result) {
  return result.ok() ? "ok" : result.error().message();
}

}  // namespace quern::grammar
