// A scanner and a parser with an explicit stack of open groups.
#include "engine/grammar/gbnf.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

namespace quern::grammar {
namespace {

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Parser {
 public:
  Parser(std::string_view text, Grammar& into) : text_(text), grammar_(into) {}

  Status run() {
    skip_space(true);
    while (at_ < text_.size()) {
      QUERN_RETURN_IF_ERROR(parse_rule());
      QUERN_RETURN_IF_ERROR(grammar_.status());
      skip_space(true);
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) return fail_at(0, "there is no rule 'root'; add one to begin with");
    QUERN_RETURN_IF_ERROR(check_defined());
    grammar_.set_root(root->second.id);
    return ok_status();
  }

 private:
  struct Known {
    RuleId id;
    size_t first_use;
  };
  // An open group: alternatives read so far, and the sequence being read.
  struct Level {
    size_t opened_at;
    std::vector<ExprId> alternatives;
    std::vector<ExprId> sequence;
  };

  // Of several undefined rules the one used first is named.
  Status check_defined() const {
    const std::pair<const std::string, Known>* first = nullptr;
    for (const auto& entry : rules_) {
      if (grammar_.rules()[entry.second.id].body != kNone) continue;
      if (first == nullptr || entry.second.first_use < first->second.first_use) first = &entry;
    }
    if (first == nullptr) return ok_status();
    return fail_at(first->second.first_use,
                   "rule '" + shown(first->first) + "' is used but not defined; define it");
  }

  static std::string shown(std::string_view name) { return std::string(name.substr(0, 60)); }

  Error fail_at(size_t position, std::string problem) const {
    const std::string_view before = text_.substr(0, std::min(position, text_.size()));
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t newline = before.rfind('\n');
    const size_t column = newline == std::string_view::npos ? position : position - newline - 1;
    return Error(ErrorKind::kInvalidInput, "grammar line " + std::to_string(line) + ", column " +
                                               std::to_string(column + 1) + ": " +
                                               std::move(problem));
  }
  Error fail(std::string problem) const { return fail_at(at_, std::move(problem)); }

  bool more() const { return at_ < text_.size(); }
  char peek() const { return more() ? text_[at_] : '\0'; }
  bool looking_at(std::string_view what) const { return text_.substr(at_).starts_with(what); }

  void skip_space(bool lines) {
    while (more()) {
      const char c = peek();
      if (c == '#') {
        while (more() && peek() != '\n' && peek() != '\r') ++at_;
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string_view take_name() {
    const size_t begin = at_;
    while (more() && is_name_char(peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  RuleId rule_named(std::string_view name, size_t where) {
    const auto it = rules_.find(std::string(name));
    if (it != rules_.end()) return it->second.id;
    const RuleId id = grammar_.add_rule(shown(name));
    rules_.emplace(std::string(name), Known{id, where});
    return id;
  }

  Status parse_rule() {
    const size_t begin = at_;
    const std::string_view name = take_name();
    if (name.empty()) return fail("expected the name of a rule (letters, digits, '-', '_')");
    skip_space(false);
    if (!looking_at("::=")) return fail("expected '::=' after the name of a rule");
    at_ += 3;
    const RuleId id = rule_named(name, begin);
    QUERN_RETURN_IF_ERROR(grammar_.status());
    if (grammar_.rules()[id].body != kNone) {
      return fail_at(begin, "rule '" + shown(name) + "' is defined twice; remove one");
    }
    skip_space(true);
    ExprId body = kNone;
    QUERN_RETURN_IF_ERROR(parse_alternatives(body));
    grammar_.define(id, body);
    if (more() && peek() != '\n' && peek() != '\r') {
      return fail("expected the end of the line, '|', or another element");
    }
    return ok_status();
  }

  void close_sequence(Level& level) {
    level.alternatives.push_back(grammar_.sequence(level.sequence));
    level.sequence.clear();
  }

  Status parse_alternatives(ExprId& out) {
    std::vector<Level> levels;
    levels.push_back({at_, {}, {}});
    while (true) {
      QUERN_RETURN_IF_ERROR(grammar_.status());
      skip_space(levels.size() > 1);
      Level& level = levels.back();
      const char c = peek();
      if (c == '|') {
        ++at_;
        skip_space(true);
        close_sequence(level);
      } else if (c == '(') {
        if (levels.size() > grammar_.budget().limits().max_nesting) {
          return fail("groups are nested deeper than " +
                      std::to_string(grammar_.budget().limits().max_nesting) +
                      " levels; give the inner ones a rule of their own");
        }
        levels.push_back({at_++, {}, {}});
      } else if (c == ')') {
        if (levels.size() == 1) return fail("')' without '('");
        ++at_;
        close_sequence(level);
        const ExprId group = grammar_.choice(level.alternatives);
        levels.pop_back();
        QUERN_RETURN_IF_ERROR(add_element(levels.back(), group, levels.size() > 1));
      } else if (more() && c != '\n' && c != '\r') {
        ExprId element = kNone;
        QUERN_RETURN_IF_ERROR(parse_element(element));
        QUERN_RETURN_IF_ERROR(add_element(level, element, levels.size() > 1));
      } else if (levels.size() > 1) {
        return fail_at(levels.back().opened_at, "'(' is never closed");
      } else {
        close_sequence(level);
        out = grammar_.choice(level.alternatives);
        return ok_status();
      }
    }
  }

  Status parse_element(ExprId& out) {
    const char c = peek();
    if (c == '"') return parse_literal(out);
    if (c == '[') return parse_class(out);
    if (c == '.') {
      ++at_;
      out = grammar_.char_class(CharSet::all());
      return ok_status();
    }
    if (c == '<' || c == '!') {
      return fail("references to tokens (<...>) are not supported; write the text of the token");
    }
    if (!is_name_char(c)) {
      return fail("unexpected character; expected a literal, a class, a rule or a group");
    }
    const size_t begin = at_;
    const std::string_view name = take_name();
    out = grammar_.call(rule_named(name, begin));
    return ok_status();
  }

  // Reads repetition signs behind an element and adds the result to the sequence. Space may stand
  // before a sign, lines too inside a group.
  Status add_element(Level& level, ExprId element, bool nested) {
    constexpr int kMaxSigns = 16;
    for (int signs = 0;; ++signs) {
      skip_space(nested);
      const char c = peek();
      uint32_t min = 0;
      uint32_t max = kUnbounded;
      if (c == '*') {
        ++at_;
      } else if (c == '+') {
        ++at_;
        min = 1;
      } else if (c == '?') {
        ++at_;
        max = 1;
      } else if (c == '{') {
        QUERN_RETURN_IF_ERROR(parse_counts(min, max));
      } else {
        level.sequence.push_back(element);
        return ok_status();
      }
      if (signs == kMaxSigns) return fail("too many repetition signs after one element");
      element = grammar_.repeat(element, min, max);
    }
  }

  Status parse_counts(uint32_t& min, uint32_t& max) {
    ++at_;
    skip_space(false);
    QUERN_RETURN_IF_ERROR(parse_count(min));
    max = min;
    skip_space(false);
    if (peek() == ',') {
      ++at_;
      skip_space(false);
      max = kUnbounded;
      if (is_digit(peek())) QUERN_RETURN_IF_ERROR(parse_count(max));
      skip_space(false);
    }
    if (peek() != '}') return fail("expected '}' after the counts of a repetition");
    ++at_;
    if (max < min) return fail("the repetition's upper count is below its lower one; swap them");
    return ok_status();
  }

  Status parse_count(uint32_t& out) {
    const uint32_t limit = grammar_.budget().limits().max_repeat;
    const char* begin = text_.data() + at_;
    const char* end = text_.data() + text_.size();
    const auto [stop, error] = std::from_chars(begin, end, out);
    if (stop == begin) return fail("expected a count, as in {2}, {2,} or {2,5}");
    if (error != std::errc() || out > limit) {
      return fail("the count of a repetition is over " + std::to_string(limit) + "; lower it");
    }
    at_ += static_cast<size_t>(stop - begin);
    return ok_status();
  }

  Status parse_literal(ExprId& out) {
    const size_t begin = at_++;
    std::string bytes;
    while (true) {
      if (!more() || peek() == '\n') return fail_at(begin, "the literal's '\"' is never closed");
      if (peek() == '"') break;
      uint32_t code = 0;
      QUERN_RETURN_IF_ERROR(parse_char(code));
      append_utf8(code, bytes);
    }
    ++at_;
    out = grammar_.literal(bytes);
    return ok_status();
  }

  Status parse_class(ExprId& out) {
    const size_t begin = at_++;
    const bool negate = peek() == '^';
    if (negate) ++at_;
    std::vector<CodeRange> ranges;
    while (peek() != ']') {
      if (!more() || peek() == '\n') return fail_at(begin, "the class's '[' is never closed");
      CodeRange range{};
      const size_t where = at_;
      QUERN_RETURN_IF_ERROR(parse_char(range.low));
      range.high = range.low;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        QUERN_RETURN_IF_ERROR(parse_char(range.high));
        if (range.high < range.low) {
          return fail_at(where, "the range of characters is reversed; write the lower one first");
        }
      }
      ranges.push_back(range);
    }
    ++at_;
    CharSet set(std::move(ranges));
    if (negate) set = set.negated();
    if (set.empty()) return fail_at(begin, "the class has no characters; it would match nothing");
    out = grammar_.char_class(set);
    return ok_status();
  }

  Status parse_char(uint32_t& code) {
    if (peek() == '\\') return parse_escape(code);
    std::string_view rest = text_.substr(at_);
    if (!take_utf8(rest, code)) return fail("the grammar is not valid UTF-8 here");
    at_ = text_.size() - rest.size();
    return ok_status();
  }

  Status parse_escape(uint32_t& code) {
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    switch (c) {
      case 'n':
        code = '\n';
        break;
      case 'r':
        code = '\r';
        break;
      case 't':
        code = '\t';
        break;
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        code = static_cast<unsigned char>(c);
        break;
      case 'x':
        return parse_hex(2, code);
      case 'u':
        return parse_hex(4, code);
      case 'U':
        return parse_hex(8, code);
      default:
        return fail(
            "unknown escape; known are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\xXX \\uXXXX "
            "\\UXXXXXXXX");
    }
    at_ += 2;
    return ok_status();
  }

  Status parse_hex(size_t digits, uint32_t& code) {
    const std::string_view hex = text_.substr(std::min(at_ + 2, text_.size()), digits);
    const auto [stop, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    if (hex.size() != digits || error != std::errc() || stop != hex.data() + digits) {
      return fail("expected " + std::to_string(digits) + " hexadecimal digits after the escape");
    }
    if (code > kMaxCodePoint || (code >= 0xD800 && code <= 0xDFFF)) {
      return fail("the escape names no Unicode character");
    }
    at_ += 2 + digits;
    return ok_status();
  }

  std::string_view text_;
  Grammar& grammar_;
  size_t at_ = 0;
  std::unordered_map<std::string, Known> rules_;
};

}  // namespace

Status parse_gbnf(std::string_view text, Grammar& into) {
  const size_t limit = into.budget().limits().max_source_bytes;
  if (text.size() > limit) {
    return over_limit("the grammar is too long (bytes)", text.size(), limit, "shorten it");
  }
  return Parser(text, into).run();
}

}  // namespace quern::grammar
