// str() and repr() of template values; see template_operators.h.
#include <charconv>
#include <cmath>
#include <string>

#include "models/chat/template_operators.h"
#include "models/chat/unicode.h"

namespace quern::chat {
namespace {

void append_hex(std::string& out, char32_t c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const int digits = c <= 0xFF ? 2 : c <= 0xFFFF ? 4 : 8;
  out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out.push_back(kDigits[c >> shift & 0xF]);
  }
}

void append_text_repr(Runtime& runtime, TextBuilder& out, const Text& text) {
  runtime.charge_bytes(text.bytes.size() * 2);
  const bool has_single = text.bytes.find('\'') != std::string::npos;
  const bool has_double = text.bytes.find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  UserMarks marks(text);
  out.append(std::string_view(&quote, 1), false);
  for (size_t at = 0; at < text.bytes.size();) {
    const size_t begin = at;
    const bool user = marks.at(at);
    const char32_t c = next_code_point(text.bytes, at);
    std::string escaped;
    if (c == '\\' || c == static_cast<char32_t>(quote)) {
      escaped = {'\\', static_cast<char>(c)};
    } else if (c == '\n' || c == '\r' || c == '\t') {
      escaped = c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (!is_printable(c)) {
      append_hex(escaped, c);
    } else {
      escaped = text.bytes.substr(begin, at - begin);
    }
    out.append(escaped, user);
  }
  out.append(std::string_view(&quote, 1), false);
}

void append_sequence(Runtime& runtime, TextBuilder& out, const Sequence& sequence) {
  const bool tuple = sequence.type == SequenceType::kTuple;
  out.append(tuple ? "(" : "[", false);
  for (size_t i = 0; i < sequence.items.size(); ++i) {
    if (i > 0) out.append(", ", false);
    append_repr(runtime, out, sequence.items[i]);
  }
  if (tuple) {
    out.append(sequence.items.size() == 1 ? ",)" : ")", false);
  } else {
    out.append("]", false);
  }
}

void append_dict(Runtime& runtime, TextBuilder& out, const Dict& dict) {
  out.append("{", false);
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out.append(", ", false);
    append_repr(runtime, out, dict.items[i].first);
    out.append(": ", false);
    append_repr(runtime, out, dict.items[i].second);
  }
  out.append("}", false);
}

std::string range_repr(const Range& range) {
  // The exact stop is not kept; the first value past the end stands for it.
  const int64_t stop = range.size == 0 ? range.start : range.at(range.size - 1) + 1;
  std::string out = "range(" + std::to_string(range.start) + ", " + std::to_string(stop);
  if (range.step != 1) out += ", " + std::to_string(range.step);
  return out + ")";
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto shortest =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(shortest.ptr - buffer));
  const size_t mark = text.find('e');
  int exponent = 0;
  const char* digits = text.data() + mark + 1 + (text[mark + 1] == '+' ? 1 : 0);
  std::from_chars(digits, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

void append_repr(Runtime& runtime, TextBuilder& out, const Value& value) {
  runtime.charge_work();
  runtime.charge_bytes(8);
  if (const Text* text = value.as_text()) return append_text_repr(runtime, out, *text);
  if (const Dict* dict = value.as_dict()) return append_dict(runtime, out, *dict);
  if (const Range* range = value.as_range()) return out.append(range_repr(*range), false);
  if (value.is_undefined()) return out.append("Undefined", false);
  if (value.is_none()) return out.append("None", false);
  if (const bool* b = value.as_bool()) return out.append(*b ? "True" : "False", false);
  if (const int64_t* i = value.as_int()) return out.append(std::to_string(*i), false);
  if (const double* d = value.as_float()) return out.append(float_repr(*d), false);
  if (const Sequence* sequence = value.as_sequence()) {
    if (sequence->type == SequenceType::kList || sequence->type == SequenceType::kTuple) {
      return append_sequence(runtime, out, *sequence);
    }
    if (sequence->type == SequenceType::kGenerator) return out.append("<generator object>", false);
    out.append(type_name(value), false);
    out.append("(", false);
    append_sequence(runtime, out, *sequence);
    return out.append(")", false);
  }
  out.append("<" + std::string(type_name(value)) + " object>", false);
}

void append_text(Runtime& runtime, TextBuilder& out, const Value& value) {
  if (const Text* text = value.as_text()) {
    runtime.charge_bytes(text->bytes.size() + 8);
    return out.append(*text);
  }
  if (value.is_undefined()) return;
  append_repr(runtime, out, value);
}

TextRef to_text(Runtime& runtime, const Value& value) {
  if (value.as_text() != nullptr) return value.text_ref();
  TextBuilder out;
  append_text(runtime, out, value);
  return std::make_shared<const Text>(out.take());
}

}  // namespace quern::chat
