// Implements template_formatting.h.
#include "models/chat/template_formatting.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "models/chat/template_operators.h"
#include "models/chat/unicode.h"

namespace quern::chat {
namespace {

constexpr int64_t kMaxWidth = 10'000;  // of one formatted field

// What stands between "%" or ":" and the conversion letter.
struct FieldSpec {
  std::string fill = " ";
  char align = '\0';  // '<', '>', '^', '=' or the conversion's own
  char sign = '-';
  bool zero = false;
  bool alternate = false;
  bool grouping = false;
  int64_t width = 0;
  int64_t precision = -1;
  char conversion = '\0';
};

int64_t read_number(std::string_view text, size_t& at) {
  int64_t value = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    value = std::min(value * 10 + (text[at++] - '0'), kMaxWidth + 1);
  }
  if (value > kMaxWidth) fail("a format is wider than " + std::to_string(kMaxWidth));
  return value;
}

std::string float_digits(double value, const FieldSpec& spec) {
  const char letter = static_cast<char>(spec.conversion | 0x20);
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return "inf";
  std::string buffer(static_cast<size_t>(precision) + 400, '\0');
  const auto style = letter == 'f'   ? std::chars_format::fixed
                     : letter == 'e' ? std::chars_format::scientific
                                     : std::chars_format::general;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, style,
                                 letter == 'g' && precision == 0 ? 1 : precision);
  buffer.resize(static_cast<size_t>(end.ptr - buffer.data()));
  return buffer;
}

std::string integer_digits(uint64_t value, const FieldSpec& spec) {
  const char letter = static_cast<char>(spec.conversion | 0x20);
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  char buffer[72];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, base);
  std::string digits(buffer, end.ptr);
  const int64_t missing = spec.precision - static_cast<int64_t>(digits.size());
  if (missing > 0) digits = std::string(static_cast<size_t>(missing), '0') + digits;
  if (spec.alternate && base != 10) {
    const std::string prefix = base == 16 ? "0x" : base == 8 ? "0o" : "0b";
    digits = prefix + digits;
  }
  return digits;
}

void add_grouping(std::string& digits) {
  size_t end = digits.find_first_not_of("0123456789");
  if (end == std::string::npos) end = digits.size();
  for (size_t at = end; at > 3; at -= 3) digits.insert(at - 3, ",");
}

// Writes `body` (already converted) in the field's width.
void append_padded(TextBuilder& out, const Text& body, const FieldSpec& spec, char own_align) {
  const auto length = static_cast<int64_t>(count_code_points(body.bytes));
  const int64_t padding = std::max<int64_t>(0, spec.width - length);
  const char align = spec.align != '\0' ? spec.align : own_align;
  const int64_t left = align == '<' ? 0 : align == '^' ? padding / 2 : padding;
  for (int64_t i = 0; i < left; ++i) out.append(spec.fill, false);
  out.append(body);
  for (int64_t i = left; i < padding; ++i) out.append(spec.fill, false);
}

void append_number(TextBuilder& out, bool negative, std::string digits, const FieldSpec& spec) {
  if (spec.conversion >= 'A' && spec.conversion <= 'Z') {
    for (char& c : digits) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  }
  if (spec.grouping) add_grouping(digits);
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  const bool fill_inside = (spec.zero && spec.align == '\0') || spec.align == '=';
  if (fill_inside) {
    const std::string fill = spec.zero ? "0" : spec.fill;
    while (static_cast<int64_t>(sign.size() + digits.size()) < spec.width) sign += fill;
  }
  Text body;
  body.bytes = sign + digits;
  append_padded(out, body, spec, '>');
}

// Formats a number by spec.conversion (one of diufFeEgGxXob%).
void append_converted(TextBuilder& out, const Value& value, const FieldSpec& spec) {
  int64_t storage = 0;
  const int64_t* integer = integer_of(value, storage);
  const double* number = value.as_float();
  if (integer == nullptr && number == nullptr) {
    if (value.is_undefined()) fail(value.undefined_message());
    fail(std::string("the format '") + spec.conversion + "' needs a number, not " +
         std::string(type_name(value)));
  }
  if (std::string_view("fFeEgG").find(spec.conversion) != std::string_view::npos) {
    const double x = number != nullptr ? *number : static_cast<double>(*integer);
    return append_number(out, std::signbit(x), float_digits(std::fabs(x), spec), spec);
  }
  int64_t whole = 0;
  if (integer != nullptr) {
    whole = *integer;
  } else if (std::fabs(*number) < 9e18 && spec.conversion != 'x' && spec.conversion != 'o') {
    whole = static_cast<int64_t>(*number);
  } else {
    fail("an integer format needs an integer");
  }
  const uint64_t magnitude =
      whole < 0 ? uint64_t{0} - static_cast<uint64_t>(whole) : static_cast<uint64_t>(whole);
  append_number(out, whole < 0, integer_digits(magnitude, spec), spec);
}

// A string in a field, cut to the precision.
void append_string(Runtime& runtime, TextBuilder& out, const Text& text, const FieldSpec& spec,
                   char own_align) {
  runtime.charge_bytes(text.bytes.size() + static_cast<uint64_t>(spec.width));
  TextBuilder body;
  const size_t end = spec.precision < 0
                         ? text.bytes.size()
                         : byte_position(text.bytes, static_cast<size_t>(spec.precision));
  body.append(text, 0, end);
  append_padded(out, body.take(), spec, own_align);
}

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Text& format, const Value& value)
      : runtime_(runtime), format_(format), value_(value) {
    const Sequence* sequence = value.as_sequence();
    if (sequence != nullptr && sequence->type == SequenceType::kTuple) tuple_ = sequence;
  }

  Value run() {
    const std::string& bytes = format_.bytes;
    runtime_.charge_bytes(bytes.size());
    size_t at = 0;
    while (at < bytes.size()) {
      const size_t percent = std::min(bytes.find('%', at), bytes.size());
      out_.append(format_, at, percent);
      at = percent;
      if (at < bytes.size()) convert(at);
    }
    const bool all_used = tuple_ != nullptr ? used_ == tuple_->items.size()
                                            : used_ > 0 || value_.as_dict() != nullptr;
    if (!all_used) fail("not all arguments of a format are used");
    return runtime_.text(out_.take());
  }

 private:
  Value next_argument() {
    if (tuple_ == nullptr ? used_ > 0 : used_ >= tuple_->items.size()) {
      fail("a format has more conversions than arguments");
    }
    ++used_;
    return tuple_ == nullptr ? value_ : tuple_->items[used_ - 1];
  }

  // Precondition: bytes[at] is '%'.
  void convert(size_t& at) {
    const std::string& bytes = format_.bytes;
    runtime_.charge_work();
    ++at;
    std::optional<Value> keyed;
    if (at < bytes.size() && bytes[at] == '(') {
      const size_t close = bytes.find(')', at);
      if (close == std::string::npos || value_.as_dict() == nullptr) {
        fail("a format with names needs a dict");
      }
      const Value key = runtime_.text(bytes.substr(at + 1, close - at - 1));
      const size_t found = find_key(runtime_, *value_.as_dict(), key);
      if (found == SIZE_MAX) fail("a format names a key that is missing");
      keyed = value_.as_dict()->items[found].second;
      at = close + 1;
    }
    const FieldSpec spec = read_spec(at);
    if (spec.conversion == '%') return out_.append("%", false);
    const Value argument = keyed ? *keyed : next_argument();
    if (spec.conversion == 's') {
      return append_string(runtime_, out_, *to_text(runtime_, argument), spec, '>');
    }
    if (spec.conversion == 'r') {
      TextBuilder shown;
      append_repr(runtime_, shown, argument);
      return append_string(runtime_, out_, shown.take(), spec, '>');
    }
    runtime_.charge_bytes(static_cast<uint64_t>(spec.width + std::max<int64_t>(0, spec.precision)));
    append_converted(out_, argument, spec);
  }

  FieldSpec read_spec(size_t& at) const {
    const std::string& bytes = format_.bytes;
    FieldSpec spec;
    for (; at < bytes.size() && std::string_view("-+ #0").find(bytes[at]) != std::string::npos;
         ++at) {
      if (bytes[at] == '-') spec.align = '<';
      if (bytes[at] == '+' || (bytes[at] == ' ' && spec.sign != '+')) spec.sign = bytes[at];
      if (bytes[at] == '#') spec.alternate = true;
      if (bytes[at] == '0') spec.zero = true;
    }
    spec.width = read_number(bytes, at);
    if (at < bytes.size() && bytes[at] == '.') {
      ++at;
      spec.precision = read_number(bytes, at);
    }
    spec.conversion = at < bytes.size() ? bytes[at++] : '\0';
    if (spec.conversion == 'i' || spec.conversion == 'u') spec.conversion = 'd';
    if (std::string_view("srdfFeEgGxXo%").find(spec.conversion) == std::string_view::npos ||
        spec.conversion == '\0') {
      fail("a format has an unknown conversion");
    }
    return spec;
  }

  Runtime& runtime_;
  const Text& format_;
  const Value& value_;
  const Sequence* tuple_ = nullptr;
  size_t used_ = 0;
  TextBuilder out_;
};

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Text& format, const Arguments& arguments)
      : runtime_(runtime), format_(format), arguments_(arguments) {}

  Value run() {
    const std::string& bytes = format_.bytes;
    runtime_.charge_bytes(bytes.size());
    for (size_t at = 0; at < bytes.size();) {
      const size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
      out_.append(format_, at, brace);
      at = brace;
      if (at == bytes.size()) break;
      if (at + 1 < bytes.size() && bytes[at + 1] == bytes[at]) {
        out_.append(format_, at, at + 1);
        at += 2;
        continue;
      }
      const size_t close = bytes.find('}', at);
      if (bytes[at] == '}' || close == std::string::npos) fail("a format has a single brace");
      field(std::string_view(bytes).substr(at + 1, close - at - 1));
      at = close + 1;
    }
    return runtime_.text(out_.take());
  }

 private:
  void field(std::string_view body) {
    runtime_.charge_work();
    std::string_view spec_text;
    if (const size_t colon = body.find(':'); colon != std::string_view::npos) {
      spec_text = body.substr(colon + 1);
      body = body.substr(0, colon);
    }
    char conversion = '\0';
    if (const size_t mark = body.find('!'); mark != std::string_view::npos) {
      if (mark + 2 != body.size() || (body[mark + 1] != 'r' && body[mark + 1] != 's')) {
        fail("a format has an unknown conversion");
      }
      conversion = body[mark + 1];
      body = body.substr(0, mark);
    }
    Value value = argument(body);
    if (conversion == 'r') {
      TextBuilder shown;
      append_repr(runtime_, shown, value);
      value = runtime_.text(shown.take());
    } else if (conversion == 's') {
      value = Value(to_text(runtime_, value));
    }
    write(value, read_spec(spec_text));
  }

  Value argument(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    const std::string_view first = path.substr(0, end);
    if (end != path.size()) fail("attributes in a format are not supported");
    const bool digits = first.find_first_not_of("0123456789") == std::string_view::npos;
    if (digits) {
      size_t at = 0;
      const size_t index =
          first.empty() ? automatic_++ : static_cast<size_t>(read_number(first, at));
      if (index >= arguments_.positional.size()) {
        fail("a format has more fields than arguments");
      }
      return arguments_.positional[index];
    }
    for (const auto& [name, value] : arguments_.named) {
      if (name == first) return value;
    }
    fail("a format names an argument that is missing");
  }

  static FieldSpec read_spec(std::string_view text) {
    FieldSpec spec;
    size_t at = 0;
    if (!text.empty()) {
      size_t next = 0;
      next_code_point(text, next);
      if (next < text.size() && std::string_view("<>^=").find(text[next]) != std::string::npos) {
        spec.fill = std::string(text.substr(0, next));
        spec.align = text[next];
        at = next + 1;
      } else if (std::string_view("<>^=").find(text[0]) != std::string_view::npos) {
        spec.align = text[0];
        at = 1;
      }
    }
    const auto take = [&](char c) { return at < text.size() && text[at] == c && ++at > 0; };
    if (take('+')) spec.sign = '+';
    if (take('-')) spec.sign = '-';
    if (take(' ')) spec.sign = ' ';
    spec.alternate = take('#');
    spec.zero = take('0');
    spec.width = read_number(text, at);
    spec.grouping = take(',');
    if (take('.')) spec.precision = read_number(text, at);
    if (at < text.size()) spec.conversion = text[at++];
    if (at != text.size()) fail("a format specification is not supported");
    return spec;
  }

  void write(const Value& value, FieldSpec spec) {
    const bool is_text = value.as_text() != nullptr;
    int64_t storage = 0;
    const bool is_integer = value.as_bool() == nullptr && integer_of(value, storage) != nullptr;
    if (spec.conversion == '\0' && is_integer) spec.conversion = 'd';
    if (spec.conversion == '\0' && value.as_float() != nullptr && spec.precision < 0) {
      return append_number(out_, std::signbit(*value.as_float()),
                           float_repr(std::fabs(*value.as_float())), spec);
    }
    if (spec.conversion == '\0' && value.as_float() != nullptr) spec.conversion = 'g';
    if (spec.conversion == '\0' || (spec.conversion == 's' && is_text)) {
      return append_string(runtime_, out_, *to_text(runtime_, value), spec, '<');
    }
    runtime_.charge_bytes(static_cast<uint64_t>(spec.width + std::max<int64_t>(0, spec.precision)));
    const bool float_only = std::string_view("dxXob").find(spec.conversion) == std::string::npos;
    if (std::string_view("dfFeEgGxXob").find(spec.conversion) == std::string_view::npos ||
        (value.as_float() != nullptr && !float_only)) {
      fail("a format specification does not fit its value");
    }
    append_converted(out_, value, spec);
  }

  Runtime& runtime_;
  const Text& format_;
  const Arguments& arguments_;
  size_t automatic_ = 0;
  TextBuilder out_;
};

}  // namespace

Value percent_format(Runtime& runtime, const Text& format, const Value& value) {
  return PercentFormatter(runtime, format, value).run();
}

Value brace_format(Runtime& runtime, const Text& format, const Arguments& arguments) {
  return BraceFormatter(runtime, format, arguments).run();
}

}  // namespace quern::chat
