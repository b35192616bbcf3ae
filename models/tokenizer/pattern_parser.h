// Reads the regular-expression dialect of split_rule.h. Private to this folder's sources.
//
// Patterns are constants of this program: anything unexpected is a CHECK.
#pragma once

#include <string_view>

#include "models/tokenizer/split_rule.h"

namespace quern::tokenizer {

class PatternParser {
 public:
  explicit PatternParser(const CodeText& pattern) : pattern_(pattern) {}
  std::vector<SplitPass::Alternative> parse();

 private:
  bool done() const { return at_ == pattern_.size(); }
  char32_t peek() const { return done() ? 0 : pattern_.code[at_]; }
  char32_t next();
  bool accept(std::string_view ascii);
  void expect(std::string_view ascii);

  SplitPass::Item parse_item();
  SplitPass::Item parse_words(bool any_case);
  void parse_quantifier(SplitPass::Item& item);
  size_t parse_number();
  void parse_class(CharClass& chars);
  // One member: a property, an escape or a character. Returns the character, or kInvalidByte when
  // it was a set and has been added to `chars`.
  char32_t parse_member(CharClass& chars);

  const CodeText& pattern_;
  size_t at_ = 0;
};

}  // namespace quern::tokenizer
