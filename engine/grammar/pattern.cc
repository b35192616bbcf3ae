// Scanner and parser of patterns.
#include "engine/grammar/pattern.h"

#include <algorithm>
#include <charconv>

namespace quern::grammar {
namespace {

constexpr size_t kMaxPatternBytes = 16384;

CharSet digit_set() { return CharSet({{'0', '9'}}); }
CharSet word_set() { return CharSet({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}); }
CharSet space_set() {
  return CharSet({{'\t', '\r'},
                  {' ', ' '},
                  {0xA0, 0xA0},
                  {0x1680, 0x1680},
                  {0x2000, 0x200A},
                  {0x2028, 0x2029},
                  {0x202F, 0x202F},
                  {0x205F, 0x205F},
                  {0x3000, 0x3000},
                  {0xFEFF, 0xFEFF}});
}
CharSet line_ends() { return CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}); }

uint64_t add_lengths(uint64_t a, uint64_t b) { return a > kEndless - b ? kEndless : a + b; }
uint64_t times(uint64_t a, uint64_t n) {
  if (a == 0 || n == 0) return 0;
  return a > kEndless / n ? kEndless : a * n;
}

// What a part of the pattern matches.
struct Part {
  ExprId expr = kNone;
  uint64_t min = 0;
  uint64_t max = 0;
  ExprId unit = kNone;  // see Pattern
  uint32_t unit_min = 1;
  uint32_t unit_max = 1;
};

class Parser {
 public:
  Parser(std::string_view text, JsonText& json) : text_(text), json_(json) {}

  Result<Pattern> run() {
    if (text_.size() > kMaxPatternBytes) {
      return over_limit("the pattern is too long (bytes)", text_.size(), kMaxPatternBytes,
                        "shorten it");
    }
    open_.emplace_back();
    while (at_ < text_.size()) {
      QUERN_RETURN_IF_ERROR(step());
      QUERN_RETURN_IF_ERROR(grammar().status());
    }
    if (open_.size() > 1) return fail_at(open_.back().opened_at, "'(' is never closed");
    QUERN_RETURN_IF_ERROR(close_alternative());
    const Part whole = choice_of(open_.back());
    Pattern out;
    out.body = whole.expr;
    out.min_length = whole.min;
    out.max_length = whole.max;
    if (open_.back().alternatives.size() == 1) {
      out.unit = whole.unit;
      out.unit_min = whole.unit_min;
      out.unit_max = whole.unit_max;
    }
    return out;
  }

 private:
  struct Level {
    size_t opened_at = 0;
    std::vector<Part> alternatives;
    std::vector<Part> sequence;
    bool from_start = false;  // the alternative began with ^
    bool to_end = false;      // and ended with $
  };

  Grammar& grammar() { return json_.grammar(); }

  Error fail_at(size_t position, std::string problem) const {
    return Error(ErrorKind::kInvalidInput,
                 "pattern, character " + std::to_string(position + 1) + ": " + std::move(problem));
  }
  Error fail(std::string problem) const { return fail_at(at_, std::move(problem)); }
  Error unsupported(std::string construct) const {
    return Error(ErrorKind::kUnsupported, "pattern, character " + std::to_string(at_ + 1) + ": " +
                                              std::move(construct) +
                                              " not supported; write the pattern without it");
  }

  bool looking_at(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  Status step() {
    Level& level = open_.back();
    const char c = peek();
    if (level.to_end && c != '|') {
      return unsupported("text after the anchor '$' is");
    }
    switch (c) {
      case '(':
        return open_group();
      case ')':
        return close_group();
      case '|':
        ++at_;
        return close_alternative();
      case '^':
        if (open_.size() > 1) return unsupported("an anchor inside a group is");
        if (!level.sequence.empty() || level.from_start) {
          return unsupported("'^' behind the beginning is");
        }
        level.from_start = true;
        ++at_;
        return ok_status();
      case '$':
        if (open_.size() > 1) return unsupported("an anchor inside a group is");
        level.to_end = true;
        ++at_;
        return ok_status();
      case '*':
      case '+':
      case '?':
      case '{':
        return fail(std::string("nothing before '") + c +
                    "' to repeat; write \\ before it if the character is meant");
      default:
        return parse_atom();
    }
  }

  Status open_group() {
    if (open_.size() > grammar().budget().limits().max_nesting) {
      return fail("groups are nested deeper than " +
                  std::to_string(grammar().budget().limits().max_nesting) + " levels");
    }
    for (const std::string_view look : {"(?=", "(?!", "(?<=", "(?<!"}) {
      if (looking_at(look)) return unsupported("look-around ('" + std::string(look) + "') is");
    }
    const size_t begin = at_++;
    if (looking_at("?:")) {
      at_ += 2;
    } else if (looking_at("?<")) {
      const size_t end = text_.find('>', at_);
      if (end == std::string_view::npos) return fail("the group's name is never closed");
      at_ = end + 1;
    } else if (peek() == '?') {
      return unsupported("this kind of group ('(?') is");
    }
    open_.emplace_back();
    open_.back().opened_at = begin;
    return ok_status();
  }

  Status close_group() {
    if (open_.size() == 1) return fail("')' without '('");
    ++at_;
    QUERN_RETURN_IF_ERROR(close_alternative());
    Part part = choice_of(open_.back());
    open_.pop_back();
    return add_part(part);
  }

  Part any_text() {
    Part part;
    part.expr = grammar().repeat(json_.character_of(CharSet::all()), 0, kUnbounded);
    part.max = kEndless;
    return part;
  }

  Status close_alternative() {
    Level& level = open_.back();
    if (open_.size() == 1) {
      // Without an anchor the rest of the text is free.
      if (!level.from_start) level.sequence.insert(level.sequence.begin(), any_text());
      if (!level.to_end) level.sequence.push_back(any_text());
    }
    Part all;
    std::vector<ExprId> items;
    for (const Part& part : level.sequence) {
      items.push_back(part.expr);
      all.min = add_lengths(all.min, part.min);
      all.max = add_lengths(all.max, part.max);
    }
    if (level.sequence.size() == 1) {
      all = level.sequence.front();
    } else {
      all.expr = grammar().sequence(items);
    }
    level.alternatives.push_back(all);
    level.sequence.clear();
    level.from_start = false;
    level.to_end = false;
    return ok_status();
  }

  Part choice_of(const Level& level) {
    if (level.alternatives.size() == 1) return level.alternatives.front();
    Part out;
    out.min = kEndless;
    std::vector<ExprId> ways;
    for (const Part& part : level.alternatives) {
      ways.push_back(part.expr);
      out.min = std::min(out.min, part.min);
      out.max = std::max(out.max, part.max);
    }
    out.expr = grammar().choice(ways);
    return out;
  }

  Part one_of(const CharSet& set) {
    Part part;
    part.expr = json_.character_of(set);
    part.min = part.max = 1;
    part.unit = part.expr;
    return part;
  }

  Status parse_atom() {
    CharSet set;
    const char c = peek();
    if (c == '[') {
      QUERN_RETURN_IF_ERROR(parse_class(set));
    } else if (c == '.') {
      ++at_;
      set = line_ends().negated();
    } else if (c == '\\') {
      QUERN_RETURN_IF_ERROR(parse_escape(false, set));
    } else if (c == ']' || c == '}') {
      return fail(std::string("'") + c + "' alone; write \\ before it");
    } else {
      QUERN_RETURN_IF_ERROR(parse_plain(set));
    }
    return add_part(one_of(set));
  }

  Status parse_plain(CharSet& set) {
    std::string_view rest = text_.substr(at_);
    uint32_t code = 0;
    if (!take_utf8(rest, code)) return fail("the pattern is not valid UTF-8");
    at_ = text_.size() - rest.size();
    set = CharSet({{code, code}});
    return ok_status();
  }

  // Reads a quantifier, if there is one.
  Status add_part(Part part) {
    uint32_t min = 1;
    uint32_t max = 1;
    const char c = peek();
    if (c == '*' || c == '+' || c == '?') {
      ++at_;
      min = c == '+' ? 1 : 0;
      max = c == '?' ? 1 : kUnbounded;
    } else if (c == '{') {
      QUERN_RETURN_IF_ERROR(parse_counts(min, max));
    } else {
      open_.back().sequence.push_back(part);
      return ok_status();
    }
    if (peek() == '?') ++at_;  // lazy: another way to search, the same texts
    if (peek() == '*' || peek() == '+' || peek() == '{' || peek() == '?') {
      return fail("two quantifiers after one another; put the first into a group");
    }
    const bool single = part.unit != kNone && part.unit_min == 1 && part.unit_max == 1;
    Part out;
    out.expr = grammar().repeat(part.expr, min, max);
    out.min = times(part.min, min);
    out.max = max == kUnbounded ? (part.max == 0 ? 0 : kEndless) : times(part.max, max);
    if (single) {
      out.unit = part.unit;
      out.unit_min = min;
      out.unit_max = max;
    }
    open_.back().sequence.push_back(out);
    return ok_status();
  }

  Status parse_counts(uint32_t& min, uint32_t& max) {
    ++at_;
    QUERN_RETURN_IF_ERROR(parse_count(min));
    max = min;
    if (peek() == ',') {
      ++at_;
      max = kUnbounded;
      if (peek() != '}') QUERN_RETURN_IF_ERROR(parse_count(max));
    }
    if (peek() != '}') return fail("expected '}' after the counts; write \\{ for the character");
    ++at_;
    if (max < min) return fail("the upper count is below the lower one; swap them");
    return ok_status();
  }

  Status parse_count(uint32_t& out) {
    const uint32_t limit = grammar().budget().limits().max_repeat;
    const char* begin = text_.data() + at_;
    const auto [stop, error] = std::from_chars(begin, text_.data() + text_.size(), out);
    if (stop == begin) return fail("expected a count as in {2,5}; write \\{ for the character");
    if (error != std::errc() || out > limit) {
      return fail("the count is over " + std::to_string(limit) + "; lower it");
    }
    at_ += static_cast<size_t>(stop - begin);
    return ok_status();
  }

  Status parse_class(CharSet& out) {
    const size_t begin = at_++;
    const bool negate = peek() == '^';
    if (negate) ++at_;
    std::vector<CodeRange> ranges;
    while (peek() != ']') {
      if (at_ >= text_.size()) return fail_at(begin, "'[' is never closed");
      QUERN_RETURN_IF_ERROR(parse_class_item(ranges));
    }
    ++at_;
    out = CharSet(std::move(ranges));
    if (negate) out = out.negated();
    if (out.empty()) return fail_at(begin, "the class has no characters; it would match nothing");
    return ok_status();
  }

  Status parse_class_item(std::vector<CodeRange>& ranges) {
    const size_t begin = at_;
    CharSet first;
    QUERN_RETURN_IF_ERROR(peek() == '\\' ? parse_escape(true, first) : parse_plain(first));
    if (peek() != '-' || peek(1) == ']' || peek(1) == '\0') {
      ranges.insert(ranges.end(), first.ranges().begin(), first.ranges().end());
      return ok_status();
    }
    ++at_;
    CharSet last;
    QUERN_RETURN_IF_ERROR(peek() == '\\' ? parse_escape(true, last) : parse_plain(last));
    if (first.size() != 1 || last.size() != 1) {
      return fail_at(begin, "a range needs one character at each end; write \\- for the character");
    }
    const CodeRange range{first.ranges().front().low, last.ranges().front().low};
    if (range.high < range.low) return fail_at(begin, "the range is reversed; swap its ends");
    ranges.push_back(range);
    return ok_status();
  }

  Status parse_escape(bool in_class, CharSet& out) {
    const char c = peek(1);
    const auto is = [&](CharSet set) {
      at_ += 2;
      out = std::move(set);
      return ok_status();
    };
    const auto is_code = [&](uint32_t code) { return is(CharSet({{code, code}})); };
    switch (c) {
      case 'd':
        return is(digit_set());
      case 'D':
        return is(digit_set().negated());
      case 'w':
        return is(word_set());
      case 'W':
        return is(word_set().negated());
      case 's':
        return is(space_set());
      case 'S':
        return is(space_set().negated());
      case 'n':
        return is_code('\n');
      case 'r':
        return is_code('\r');
      case 't':
        return is_code('\t');
      case 'f':
        return is_code('\f');
      case 'v':
        return is_code('\v');
      case 'x':
        return parse_hex(2, out);
      case 'u':
        return parse_hex(4, out);
      case 'b':
        if (in_class) return is_code('\b');
        return unsupported("a word border ('\\b') is");
      case 'B':
        return unsupported("a word border ('\\B') is");
      case 'p':
      case 'P':
        return unsupported("a Unicode property ('\\p') is");
      case 'k':
        return unsupported("a back reference ('\\k') is");
      case '\0':
        return fail("'\\' at the end of the pattern");
      default:
        break;
    }
    if (c >= '0' && c <= '9') return unsupported("a back reference or octal escape is");
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter || static_cast<unsigned char>(c) >= 0x80) {
      return unsupported("the escape '\\" + std::string(letter ? 1 : 0, c) + "' is");
    }
    return is_code(static_cast<unsigned char>(c));
  }

  Status parse_hex(size_t digits, CharSet& out) {
    const std::string_view hex = text_.substr(std::min(at_ + 2, text_.size()), digits);
    uint32_t code = 0;
    const auto [stop, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    if (hex.size() != digits || error != std::errc() || stop != hex.data() + digits) {
      return fail("expected " + std::to_string(digits) + " hexadecimal digits after the escape");
    }
    out = CharSet({{code, code}});
    if (out.empty()) return unsupported("the escape of half a surrogate pair is");
    at_ += 2 + digits;
    return ok_status();
  }

  std::string_view text_;
  JsonText& json_;
  size_t at_ = 0;
  std::vector<Level> open_;
};

}  // namespace

Result<Pattern> parse_pattern(std::string_view text, JsonText& json) {
  return Parser(text, json).run();
}

}  // namespace quern::grammar
