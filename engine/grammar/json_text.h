// The pieces that JSON text is made of, as grammar: white space, strings, numbers, any value.
//
// What is written is RFC 8259 and nothing that parsers trip over: no lone surrogates, numbers that
// fit a double, white space only after an opening bracket, a comma or a colon and before a closing
// bracket, bounded, so that no model can go on with it for ever.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/grammar/grammar.h"

namespace quern::grammar {

// Whole numbers from low to high; nothing: no bound.
struct IntegerRange {
  std::optional<int64_t> low;
  std::optional<int64_t> high;
};
inline constexpr int64_t kMaxBound = 999'999'999'999'999'999;  // 18 digits

// Numbers between two whole numbers.
struct NumberRange {
  std::optional<int64_t> low;
  std::optional<int64_t> high;
  bool low_open = false;  // the bound itself is outside
  bool high_open = false;
};

class JsonText {
 public:
  explicit JsonText(Grammar& grammar) : grammar_(grammar) {}

  Grammar& grammar() { return grammar_; }

  // Nothing, a space, or a line break and up to 32 spaces or tabs.
  ExprId space();
  ExprId null() { return grammar_.literal("null"); }
  ExprId boolean();
  // A string of min to max characters (code points), in any spelling.
  ExprId string(uint32_t min, uint32_t max);
  // One character of `set` inside a string, escaped only where it must be.
  ExprId character_of(const CharSet& set);
  // A key that is none of `names`, without escapes.
  ExprId other_key(const std::vector<std::string>& names);
  ExprId number();
  // Precondition for both: bounds within kMaxBound, low <= high.
  ExprId integer_in(const IntegerRange& range);
  ExprId number_in(const NumberRange& range);
  // Multiples of 2 to kMaxDivisor, of at most 16 digits. `negative`, `positive`: which signs (zero
  // if `zero`).
  static constexpr int64_t kMaxDivisor = 100;
  ExprId multiple_of(int64_t divisor, bool negative, bool zero, bool positive);

  ExprId any_value() { return grammar_.call(value_rule()); }
  ExprId any_object();
  ExprId any_array();

 private:
  ExprId character();
  RuleId value_rule();
  ExprId digits(uint32_t min, uint32_t max);
  ExprId digit(char low, char high);
  ExprId natural(uint64_t low, uint64_t high);
  ExprId same_length(const std::string& low, const std::string& high);
  // Digit strings as long as `bound`, at least or at most it.
  ExprId tail_from(std::string_view bound, bool at_least);
  ExprId magnitude_in(const NumberRange& range);

  Grammar& grammar_;
  std::optional<RuleId> space_;
  std::optional<RuleId> value_;
  std::optional<ExprId> character_;
};

}  // namespace quern::grammar
