// Decimal digits between bounds, without exponents where a bound has to be kept.
#include <algorithm>

#include "engine/grammar/json_text.h"

namespace quern::grammar {
namespace {

// A double keeps 15 digits; more help nobody and a model can go on with them for ever.
constexpr uint32_t kMaxIntegerDigits = 16;
constexpr uint32_t kMaxFractionDigits = 16;
constexpr uint64_t kLargestUnbounded = 9'999'999'999'999'999;

uint64_t magnitude(int64_t value) {
  return value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

}  // namespace

ExprId JsonText::digit(char low, char high) {
  const auto code = [](char c) { return static_cast<uint32_t>(static_cast<unsigned char>(c)); };
  return grammar_.char_class(CharSet({{code(low), code(high)}}));
}

ExprId JsonText::digits(uint32_t min, uint32_t max) {
  return grammar_.repeat(digit('0', '9'), min, max);
}

ExprId JsonText::number() {
  const ExprId whole =
      grammar_.choice({grammar_.literal("0"),
                       grammar_.sequence({digit('1', '9'), digits(0, kMaxIntegerDigits - 1)})});
  const ExprId fraction = grammar_.sequence({grammar_.literal("."), digits(1, kMaxFractionDigits)});
  // Two digits, so that no value leaves the range of a double.
  const ExprId exponent =
      grammar_.sequence({grammar_.char_class(CharSet::of("eE")),
                         grammar_.optional(grammar_.char_class(CharSet::of("+-"))), digits(1, 2)});
  return grammar_.sequence({grammar_.optional(grammar_.literal("-")), whole,
                            grammar_.optional(fraction), grammar_.optional(exponent)});
}

ExprId JsonText::tail_from(std::string_view bound, bool at_least) {
  // From the last digit on: the digits seen so far may all be the bound's, or differ once.
  ExprId out = grammar_.empty();
  uint32_t rest = 0;
  for (size_t i = bound.size(); i > 0; --i, ++rest) {
    const char c = bound[i - 1];
    std::vector<ExprId> ways = {grammar_.sequence({digit(c, c), out})};
    if (at_least && c < '9') {
      ways.push_back(grammar_.sequence({digit(static_cast<char>(c + 1), '9'), digits(rest, rest)}));
    }
    if (!at_least && c > '0') {
      ways.push_back(grammar_.sequence({digit('0', static_cast<char>(c - 1)), digits(rest, rest)}));
    }
    out = grammar_.choice(ways);
  }
  return out;
}

ExprId JsonText::same_length(const std::string& low, const std::string& high) {
  if (low == high) return grammar_.literal(low);
  const auto differ = std::mismatch(low.begin(), low.end(), high.begin());
  const auto at = static_cast<size_t>(differ.first - low.begin());
  const auto rest = static_cast<uint32_t>(low.size() - at - 1);
  const char a = low[at];
  const char b = high[at];
  std::vector<ExprId> ways = {
      grammar_.sequence({digit(a, a), tail_from(std::string_view(low).substr(at + 1), true)}),
      grammar_.sequence({digit(b, b), tail_from(std::string_view(high).substr(at + 1), false)})};
  if (b - a > 1) {
    ways.push_back(grammar_.sequence(
        {digit(static_cast<char>(a + 1), static_cast<char>(b - 1)), digits(rest, rest)}));
  }
  return grammar_.sequence({grammar_.literal(low.substr(0, at)), grammar_.choice(ways)});
}

// Numerals without leading zeros; nothing when low > high.
ExprId JsonText::natural(uint64_t low, uint64_t high) {
  std::vector<ExprId> ways;
  uint64_t first = 0;  // of the numerals of this length
  uint64_t last = 9;
  while (first <= high) {
    const uint64_t a = std::max(low, first);
    const uint64_t b = std::min(high, last);
    if (a <= b) ways.push_back(same_length(std::to_string(a), std::to_string(b)));
    if (last >= high) break;
    first = last + 1;
    last = last * 10 + 9;
  }
  return grammar_.choice(ways);
}

ExprId JsonText::integer_in(const IntegerRange& range) {
  std::vector<ExprId> ways;
  // One digit more than a large bound has, if it is beyond what is otherwise written.
  const auto far_end = [](uint64_t near_end) {
    return near_end < kLargestUnbounded / 10 ? kLargestUnbounded
                                             : uint64_t{9'999'999'999'999'999'999U};
  };
  if (!range.low || *range.low < 0) {
    const uint64_t near_end = range.high && *range.high < 0 ? magnitude(*range.high) : 1;
    const uint64_t end = range.low ? magnitude(*range.low) : far_end(near_end);
    ways.push_back(grammar_.sequence({grammar_.literal("-"), natural(near_end, end)}));
  }
  if (!range.high || *range.high >= 0) {
    const uint64_t begin = range.low && *range.low > 0 ? magnitude(*range.low) : 0;
    const uint64_t end = range.high ? magnitude(*range.high) : far_end(begin);
    ways.push_back(natural(begin, end));
  }
  return grammar_.choice(ways);
}

// Numbers that are not negative, written without a sign. The bounds are there and not negative, but
// for `high`.
ExprId JsonText::magnitude_in(const NumberRange& range) {
  const uint64_t low = magnitude(*range.low);
  const ExprId fraction = grammar_.sequence({grammar_.literal("."), digits(1, kMaxFractionDigits)});
  const ExprId zeros = grammar_.sequence(
      {grammar_.literal("."), grammar_.repeat(digit('0', '0'), 1, kMaxFractionDigits)});
  const ExprId nonzero = grammar_.sequence(
      {grammar_.literal("."), grammar_.repeat(digit('0', '0'), 0, kMaxFractionDigits / 2),
       digit('1', '9'), digits(0, kMaxFractionDigits / 2)});
  std::vector<ExprId> ways;
  const bool point = range.high && *range.high == *range.low;
  if (!point) {
    const uint64_t end =
        range.high ? magnitude(*range.high) - 1 : std::max(low * 10 + 9, kLargestUnbounded);
    if (low + 1 <= end) {
      ways.push_back(grammar_.sequence({natural(low + 1, end), grammar_.optional(fraction)}));
    }
    const ExprId tail = range.low_open ? nonzero : grammar_.optional(fraction);
    ways.push_back(grammar_.sequence({grammar_.literal(std::to_string(low)), tail}));
  }
  if (range.high && !range.high_open && !(point && range.low_open)) {
    ways.push_back(grammar_.sequence(
        {grammar_.literal(std::to_string(magnitude(*range.high))), grammar_.optional(zeros)}));
  }
  return grammar_.choice(ways);
}

ExprId JsonText::number_in(const NumberRange& range) {
  if (!range.low && !range.high) return number();
  std::vector<ExprId> ways;
  if (!range.low || *range.low < 0) {
    // Mirrored; zero is written without a sign.
    NumberRange mirrored{0, std::nullopt, true, range.low_open};
    if (range.high && *range.high < 0) {
      mirrored.low = -*range.high;
      mirrored.low_open = range.high_open;
    }
    if (range.low) mirrored.high = -*range.low;
    ways.push_back(grammar_.sequence({grammar_.literal("-"), magnitude_in(mirrored)}));
  }
  if (!range.high || *range.high >= 0) {
    NumberRange straight{0, range.high, false, range.high_open};
    if (range.low && *range.low >= 0) {
      straight.low = *range.low;
      straight.low_open = range.low_open;
    }
    ways.push_back(magnitude_in(straight));
  }
  return grammar_.choice(ways);
}

ExprId JsonText::multiple_of(int64_t divisor, bool negative, bool zero, bool positive) {
  // Rule [length][r]: numerals so far have `length` digits and remainder r; longest first, since
  // each refers to the next.
  const auto k = static_cast<uint32_t>(divisor);
  std::vector<RuleId> longer(k, kNone);
  for (uint32_t length = kMaxIntegerDigits; length > 0; --length) {
    std::vector<RuleId> rules(k);
    for (uint32_t r = 0; r < k; ++r) {
      std::vector<ExprId> ways;
      if (r == 0) ways.push_back(grammar_.empty());
      for (uint32_t d = 0; d < 10 && length < kMaxIntegerDigits; ++d) {
        const auto c = static_cast<char>('0' + d);
        ways.push_back(grammar_.sequence({digit(c, c), grammar_.call(longer[(r * 10 + d) % k])}));
      }
      rules[r] = grammar_.add_rule("multiple of " + std::to_string(divisor));
      if (!grammar_.status().ok()) return grammar_.never();
      grammar_.define(rules[r], grammar_.choice(ways));
    }
    longer = std::move(rules);
  }
  std::vector<ExprId> ways;
  for (uint32_t d = 1; d < 10; ++d) {
    const auto c = static_cast<char>('0' + d);
    ways.push_back(grammar_.sequence({digit(c, c), grammar_.call(longer[d % k])}));
  }
  const ExprId size = grammar_.choice(ways);
  std::vector<ExprId> out;
  if (positive) out.push_back(size);
  if (zero) out.push_back(grammar_.literal("0"));
  if (negative) out.push_back(grammar_.sequence({grammar_.literal("-"), size}));
  return grammar_.choice(out);
}

}  // namespace quern::grammar
