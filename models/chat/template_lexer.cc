// The lexer; see template_lexer.h.
#include "models/chat/template_lexer.h"

#include <charconv>
#include <limits>

#include "models/chat/template_runtime.h"
#include "models/chat/unicode.h"

namespace quern::chat {
namespace {

// Newlines become "\n", and one at the very end is dropped.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out.push_back(source[i]);
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (position_ < source_.size()) lex_data();
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void refuse(std::string message) const {
    throw TemplateError{std::move(message), line_};
  }

  void add(TokenKind kind, std::string text = {}) {
    Token token;
    token.kind = kind;
    token.line = line_;
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
  }

  bool at(std::string_view what) const { return source_.substr(position_).starts_with(what); }

  void advance(size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) line_ += source_[position_ + i] == '\n';
    position_ += bytes;
  }

  void skip_space() {
    while (position_ < source_.size()) {
      size_t next = position_;
      if (!is_space(next_code_point(source_, next))) return;
      advance(next - position_);
    }
  }

  static size_t stripped_size(std::string_view text) {
    size_t keep = 0;
    for (size_t i = 0; i < text.size();) {
      if (!is_space(next_code_point(text, i))) keep = i;
    }
    return keep;
  }

  // Template text up to the next tag, shortened as the tag's sign and lstrip_blocks ask.
  void lex_data() {
    const size_t begin = position_;
    size_t tag = source_.find('{', position_);
    while (tag != std::string_view::npos &&
           (tag + 1 >= source_.size() ||
            std::string_view("%{#").find(source_[tag + 1]) == std::string_view::npos)) {
      tag = source_.find('{', tag + 1);
    }
    if (tag == std::string_view::npos) {
      add(TokenKind::kData, std::string(source_.substr(begin)));
      return advance(source_.size() - begin);
    }
    emit_data(source_.substr(begin, tag - begin), tag);
    advance(tag - begin);
    lex_tag();
  }

  char sign_at(size_t position) const {
    const char c = position < source_.size() ? source_[position] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  void emit_data(std::string_view text, size_t tag) {
    const char sign = sign_at(tag + 2);
    if (sign == '-') {
      text = text.substr(0, stripped_size(text));
    } else if (sign == '\0' && source_[tag + 1] != '{') {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line_begin > 0 || line_starting_) && stripped_size(text.substr(line_begin)) == 0) {
        text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) add(TokenKind::kData, std::string(text));
  }

  void lex_tag() {
    const char kind = source_[position_ + 1];
    if (kind == '#') return lex_comment();
    if (kind == '%' && lex_raw()) return;
    add(kind == '%' ? TokenKind::kBlockBegin : TokenKind::kVariableBegin);
    advance(2);
    if (sign_at(position_) != '\0') advance(1);
    line_starting_ = false;
    lex_expression(kind == '%');
  }

  // Where the tag's closing begins with "-", whitespace behind it goes; a block or comment also
  // takes one newline behind it, unless it closes with "+".
  void close(bool minus, bool plus, bool trims) {
    const size_t begin = position_;
    advance(minus || plus ? 3 : 2);
    if (minus) {
      skip_space();
    } else if (trims && !plus && at("\n")) {
      advance(1);
    }
    line_starting_ = position_ > begin && source_[position_ - 1] == '\n';
  }

  void lex_comment() {
    const size_t end = source_.find("#}", position_ + 2);
    if (end == std::string_view::npos) refuse("a comment {# is not closed by #}");
    size_t body = position_ + 2;
    if (sign_at(body) != '\0') ++body;  // an opening sign is not also a closing one
    const char sign = end > body ? sign_at(end - 1) : '\0';
    advance(end - position_ - (sign != '\0' ? 1 : 0));
    close(sign == '-', sign == '+', true);
  }

  size_t past_space(size_t position) const {
    while (position < source_.size()) {
      size_t next = position;
      if (!is_space(next_code_point(source_, next))) break;
      position = next;
    }
    return position;
  }

  // Position behind "{% word" starting at `position` (signs and spaces allowed), or npos.
  size_t past_tag_word(size_t position, std::string_view word) const {
    position += 2;
    if (sign_at(position) != '\0') ++position;
    position = past_space(position);
    if (!source_.substr(position).starts_with(word)) return std::string_view::npos;
    return past_space(position + word.size());
  }

  bool lex_raw() {
    size_t inside = past_tag_word(position_, "raw");
    if (inside == std::string_view::npos) return false;
    const std::string_view rest = source_.substr(inside);
    if (!rest.starts_with("%}") && !rest.starts_with("-%}")) return false;
    advance(inside - position_);
    close(rest[0] == '-', false, false);
    const size_t body = position_;
    for (size_t tag = source_.find("{%", body); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 1)) {
      inside = past_tag_word(tag, "endraw");
      if (inside == std::string_view::npos) continue;
      const std::string_view tail = source_.substr(inside);
      const char sign = tail.empty() ? '\0' : tail[0];
      if (!tail.substr(sign == '-' || sign == '+' ? 1 : 0).starts_with("%}")) continue;
      emit_data(source_.substr(body, tag - body), tag);
      advance(inside - position_);
      close(sign == '-', sign == '+', true);
      return true;
    }
    refuse("{% raw %} is not closed by {% endraw %}");
  }

  void lex_expression(bool block) {
    std::string open;  // brackets to be closed
    const std::string_view end = block ? "%}" : "}}";
    for (;;) {
      skip_space();
      if (position_ >= source_.size()) {
        refuse(std::string("a tag is not closed by ") + std::string(end));
      }
      if (open.empty()) {
        const bool minus = at("-") && source_.substr(position_ + 1).starts_with(end);
        const bool plus = block && at("+") && source_.substr(position_ + 1).starts_with(end);
        if (minus || plus || at(end)) {
          add(block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd);
          return close(minus, plus, block);
        }
      }
      lex_token(open);
    }
  }

  void lex_token(std::string& open) {
    const char c = source_[position_];
    if (is_ascii_digit(c)) return lex_number();
    if (c == '\'' || c == '"') return lex_string(c);
    size_t next = position_;
    const char32_t first = next_code_point(source_, next);
    if (first == '_' || is_alpha(first)) {
      while (next < source_.size()) {
        size_t after = next;
        const char32_t following = next_code_point(source_, after);
        if (following != '_' && !is_alnum(following)) break;
        next = after;
      }
      const size_t begin = position_;
      add(TokenKind::kName, std::string(source_.substr(begin, next - begin)));
      return advance(next - begin);
    }
    lex_operator(open);
  }

  void lex_operator(std::string& open) {
    for (const std::string_view two : {"//", "**", "==", "!=", ">=", "<="}) {
      if (at(two)) {
        add(TokenKind::kOperator, std::string(two));
        return advance(2);
      }
    }
    const char c = source_[position_];
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos) {
      refuse("unexpected character '" + std::string(1, c) + "' inside a tag");
    }
    if (c == '(') open.push_back(')');
    if (c == '[') open.push_back(']');
    if (c == '{') open.push_back('}');
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) {
        refuse(std::string("unexpected '") + c + "'" +
               (open.empty() ? "" : std::string(", expected '") + open.back() + "'"));
      }
      open.pop_back();
    }
    add(TokenKind::kOperator, std::string(1, c));
    advance(1);
  }

  // Digits with single underscores between them from `from`; returns the end.
  size_t digits_end(size_t from) const {
    size_t end = from;
    while (end < source_.size() &&
           (is_ascii_digit(source_[end]) ||
            (source_[end] == '_' && end > from && source_[end - 1] != '_' &&
             end + 1 < source_.size() && is_ascii_digit(source_[end + 1])))) {
      ++end;
    }
    return end;
  }

  void lex_number() {
    const size_t begin = position_;
    size_t end = digits_end(begin);
    bool is_float = false;
    const auto digit_at = [&](size_t i) {
      return i < source_.size() && is_ascii_digit(source_[i]);
    };
    if (begin == 0 || source_[begin - 1] != '.') {
      if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
        end = digits_end(end + 1);
        is_float = true;
      }
      if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
        size_t exponent = end + 1;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) {
          ++exponent;
        }
        if (digit_at(exponent)) {
          end = digits_end(exponent);
          is_float = true;
        }
      }
    }
    if (!is_float) return lex_integer(begin, end);
    std::string text;
    for (const char c : source_.substr(begin, end - begin)) {
      if (c != '_') text.push_back(c);
    }
    double value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec == std::errc::result_out_of_range) value = parse_extreme(text);
    add(TokenKind::kFloat);
    tokens_.back().number = value;
    advance(end - begin);
  }

  // Beyond double: an exponent with "-" underflows, anything else overflows.
  static double parse_extreme(const std::string& text) {
    const bool tiny = text.find("e-") != std::string::npos || text.find("E-") != std::string::npos;
    return tiny ? 0.0 : std::numeric_limits<double>::infinity();
  }

  void lex_integer(size_t begin, size_t end) {
    int base = 10;
    if (source_[begin] == '0' && begin + 1 < source_.size()) {
      const char mark = static_cast<char>(source_[begin + 1] | 0x20);
      base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    }
    size_t from = begin;
    if (base != 10) {
      from = end = begin + 2;
      while (end < source_.size() && (source_[end] == '_' || is_ascii_digit(source_[end]) ||
                                      (base == 16 && is_alpha(source_[end])))) {
        ++end;
      }
    }
    std::string text;
    for (const char c : source_.substr(from, end - from)) {
      if (c != '_') text.push_back(c);
    }
    int64_t value = 0;
    const char* last = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), last, value, base);
    if (parsed.ec != std::errc() || parsed.ptr != last) {
      refuse("the number " + std::string(source_.substr(begin, end - begin)).substr(0, 40) +
             " is not a 64-bit integer");
    }
    add(TokenKind::kInteger);
    tokens_.back().integer = value;
    advance(end - begin);
  }

  void lex_string(char quote) {
    size_t end = position_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) refuse("a string is not closed");
    add(TokenKind::kString, unescape(source_.substr(position_ + 1, end - position_ - 1)));
    advance(end + 1 - position_);
  }

  // Python's escapes, as far as they name characters by number or letter.
  std::string unescape(std::string_view raw) const {
    static constexpr std::string_view kLetters = "abfnrtv\\'\"";
    static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    std::string out;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '\\') {
        out.push_back(raw[i]);
        continue;
      }
      const char c = raw[++i];
      if (const size_t letter = kLetters.find(c); letter != std::string_view::npos) {
        out.push_back(kMeanings[letter]);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t length = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        append_number(out, raw.substr(i + 1, length), length, 16);
        i += length;
      } else if (c >= '0' && c <= '7') {
        size_t length = 1;
        while (length < 3 && i + length < raw.size() && raw[i + length] >= '0' &&
               raw[i + length] <= '7') {
          ++length;
        }
        append_number(out, raw.substr(i, length), length, 8);
        i += length - 1;
      } else if (c == 'N') {
        refuse("the escape \\N{name} is not supported; write \\u and the code point");
      } else if (c != '\n') {
        out.push_back('\\');
        out.push_back(c);
      }
    }
    return out;
  }

  void append_number(std::string& out, std::string_view digits, size_t length, int base) const {
    uint32_t value = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (digits.size() != length || parsed.ec != std::errc() ||
        parsed.ptr != digits.data() + digits.size() || value > 0x10FFFF ||
        (value >= 0xD800 && value < 0xE000)) {
      refuse("a string has an escape that is not a character");
    }
    append_utf8(out, value);
  }

  std::string_view source_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> lex_template(std::string_view source) {
  const std::string text = normalized(source);
  return Lexer(text).run();
}

}  // namespace quern::chat
