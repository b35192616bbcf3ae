// Filters that make text or numbers; see template_filters.h.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <string>

#include "models/chat/template_arguments.h"
#include "models/chat/template_filters.h"
#include "models/chat/template_formatting.h"
#include "models/chat/template_json.h"
#include "models/chat/template_operators.h"
#include "models/chat/template_strings.h"

namespace quern::chat {
namespace {

Value filter_abs(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("abs", arguments, {}, 0);
  if (const double* number = input.as_float()) return Value(std::fabs(*number));
  return less(runtime, input, Value(int64_t{0})) ? negate(input, true) : negate(input, false);
}

template <CaseMap kMap>
Value filter_case(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("a case filter", arguments, {}, 0);
  return map_case(runtime, *to_text(runtime, input), kMap);
}

Value filter_capitalize(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("capitalize", arguments, {}, 0);
  return capitalize(runtime, *to_text(runtime, input));
}

// Jinja's own title: a word begins after "-", "(", "{", "[", "<" or white space.
Value filter_title(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("title", arguments, {}, 0);
  const TextRef text = to_text(runtime, input);
  runtime.charge_bytes(text->bytes.size() * 3);
  UserMarks marks(*text);
  TextBuilder out;
  bool begins = true;
  for (size_t at = 0; at < text->bytes.size();) {
    const bool user = marks.at(at);
    const char32_t c = next_code_point(text->bytes, at);
    std::string mapped;
    append_mapped(mapped, c, begins ? CaseMap::kUpper : CaseMap::kLower);
    out.append(mapped, user);
    begins = is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) !=
                                             std::string_view::npos);
  }
  return runtime.text(out.take());
}

Value filter_trim(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("trim", arguments, {"chars"}, 0);
  return strip_text(runtime, *to_text(runtime, input), bound.text_or_null(0), StripSides::kBoth);
}

Value filter_string(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("string", arguments, {}, 0);
  return runtime.text(Text(*to_text(runtime, input)));
}

Value filter_replace(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2);
  const bool limited = bound[2] != nullptr && !bound[2]->is_none();
  return replace_text(runtime, *to_text(runtime, input), *to_text(runtime, *bound[0]),
                      *to_text(runtime, *bound[1]), limited ? bound.integer(2, -1) : -1);
}

Value filter_escape(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("escape", arguments, {}, 0);
  const TextRef text = to_text(runtime, input);
  runtime.charge_bytes(text->bytes.size() * 5);
  UserMarks marks(*text);
  TextBuilder out;
  for (size_t at = 0; at < text->bytes.size(); ++at) {
    const char c = text->bytes[at];
    const std::string_view whole = c == '&'    ? "&amp;"
                                   : c == '<'  ? "&lt;"
                                   : c == '>'  ? "&gt;"
                                   : c == '"'  ? "&#34;"
                                   : c == '\'' ? "&#39;"
                                               : std::string_view(&text->bytes[at], 1);
    out.append(whole, marks.at(at));
  }
  return runtime.text(out.take());
}

Value filter_format(Runtime& runtime, const Value& input, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    fail("format takes positional or named arguments, not both");
  }
  Value values;
  if (arguments.named.empty()) {
    values = runtime.tuple(arguments.positional);
  } else {
    std::vector<std::pair<Value, Value>> items;
    for (const auto& [name, value] : arguments.named) {
      items.emplace_back(runtime.text(name), value);
    }
    values = runtime.dict(std::move(items));
  }
  return percent_format(runtime, *to_text(runtime, input), values);
}

Value filter_indent(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("indent", arguments, {"width", "first", "blank"}, 0);
  Text indention;
  if (bound[0] != nullptr && bound[0]->as_text() != nullptr) {
    indention = bound.text(0);
  } else {
    const int64_t width = std::max<int64_t>(0, bound.integer(0, 4));
    runtime.charge_bytes(static_cast<uint64_t>(width));
    indention.bytes.assign(static_cast<size_t>(width), ' ');
  }
  TextBuilder whole;
  whole.append(*to_text(runtime, input));
  whole.append("\n", false);  // so that a last empty line is kept
  const std::vector<Value> lines = split_lines(runtime, whole.text(), false);
  TextBuilder out;
  const bool blank = bound.boolean(2, false);
  if (bound.boolean(1, false)) out.append(indention);
  for (size_t i = 0; i < lines.size(); ++i) {
    const Text& line = *lines[i].as_text();
    runtime.charge_bytes(indention.bytes.size() + line.bytes.size());
    if (i > 0) {
      out.append("\n", false);
      if (blank || !line.bytes.empty()) out.append(indention);
    }
    out.append(line);
  }
  return runtime.text(out.take());
}

Value filter_center(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("center", arguments, {"width"}, 0);
  return pad_text(runtime, *to_text(runtime, input), bound.integer(0, 80), nullptr, 1);
}

Value filter_truncate(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("truncate", arguments, {"length", "killwords", "end", "leeway"}, 0);
  const TextRef text = to_text(runtime, input);
  const int64_t length = bound.integer(0, 255);
  const int64_t leeway = bound[3] == nullptr || bound[3]->is_none() ? 5 : bound.integer(3, 5);
  Text end;
  end.bytes = "...";
  if (bound[2] != nullptr) end = bound.text(2);
  const auto end_length = static_cast<int64_t>(count_code_points(end.bytes));
  if (length < end_length || leeway < 0) fail("truncate needs a length of the end text at least");
  runtime.charge_bytes(text->bytes.size());
  if (static_cast<int64_t>(count_code_points(text->bytes)) - leeway <= length) {
    return runtime.text(Text(*text));
  }
  size_t keep = byte_position(text->bytes, static_cast<size_t>(length - end_length));
  if (!bound.boolean(1, false)) {
    const size_t space = std::string_view(text->bytes).substr(0, keep).rfind(' ');
    if (space != std::string_view::npos) keep = space;
  }
  TextBuilder out;
  out.append(*text, 0, keep);
  out.append(end);
  return runtime.text(out.take());
}

Value filter_wordcount(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("wordcount", arguments, {}, 0);
  const TextRef text = to_text(runtime, input);
  runtime.charge_bytes(text->bytes.size());
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text->bytes.size();) {
    const char32_t c = next_code_point(text->bytes, at);
    const bool word = c == '_' || is_alnum(c);
    words += word && !inside;
    inside = word;
  }
  return Value(words);
}

// Digits of a number in text, without the spaces around it and the underscores between digits.
std::string number_text(const Text& text) {
  std::string out;
  size_t begin = 0;
  size_t end = text.bytes.size();
  while (begin < end && is_space(static_cast<unsigned char>(text.bytes[begin]))) ++begin;
  while (end > begin && is_space(static_cast<unsigned char>(text.bytes[end - 1]))) --end;
  if (begin < end && text.bytes[begin] == '+') ++begin;
  for (size_t i = begin; i < end; ++i) {
    const bool between = text.bytes[i] == '_' && i > begin && i + 1 < end &&
                         text.bytes[i - 1] != '_' && text.bytes[i + 1] != '_';
    if (!between) out.push_back(text.bytes[i]);
  }
  return out;
}

bool parse_integer(std::string text, int base, int64_t& value) {
  const bool negative = text.starts_with('-');
  const size_t digits = negative ? 1 : 0;
  const char* prefix = base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : nullptr;
  if (prefix != nullptr && text.compare(digits, 2, prefix) == 0) text.erase(digits, 2);
  const char* last = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), last, value, base);
  return parsed.ec == std::errc() && parsed.ptr == last;
}

bool parse_float(const std::string& text, double& value) {
  if (text.starts_with('+') || text.find_first_of("xX") != std::string::npos) return false;
  const char* last = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), last, value);
  return parsed.ec == std::errc() && parsed.ptr == last && !text.empty();
}

bool double_to_integer(double number, int64_t& value) {
  if (!(std::fabs(number) < 9.2e18)) return false;
  value = static_cast<int64_t>(number);
  return true;
}

Value filter_int(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("int", arguments, {"default", "base"}, 0);
  Value otherwise = bound[0] == nullptr ? Value(int64_t{0}) : *bound[0];
  if (input.is_undefined()) fail(input.undefined_message());
  int64_t value = 0;
  if (const Text* text = input.as_text()) {
    runtime.charge_bytes(text->bytes.size());
    const int64_t base = bound.integer(1, 10);
    if (base < 2 || base > 36) return otherwise;
    const std::string digits = number_text(*text);
    if (parse_integer(digits, static_cast<int>(base), value)) return Value(value);
    double number = 0;
    if (parse_float(digits, number) && double_to_integer(number, value)) return Value(value);
    return otherwise;
  }
  if (const int64_t* integer = integer_of(input, value)) return Value(*integer);
  if (input.as_float() != nullptr && double_to_integer(*input.as_float(), value)) {
    return Value(value);
  }
  return otherwise;
}

Value filter_float(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("float", arguments, {"default"}, 0);
  if (input.is_undefined()) fail(input.undefined_message());
  double number = 0;
  int64_t storage = 0;
  if (const double* value = input.as_float()) return Value(*value);
  if (const int64_t* value = integer_of(input, storage)) return Value(static_cast<double>(*value));
  if (const Text* text = input.as_text()) {
    runtime.charge_bytes(text->bytes.size());
    if (parse_float(number_text(*text), number)) return Value(number);
  }
  return bound[0] == nullptr ? Value(0.0) : *bound[0];
}

// Python's round(x, digits): the nearest decimal, ties to even, decided on the exact value.
double round_decimal(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits < 0) {
    if (digits < -300) return std::copysign(0.0, value);
    const double unit = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(value / unit) * unit;
  }
  char buffer[700];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed,
                                 static_cast<int>(digits));
  double out = value;
  std::from_chars(buffer, end.ptr, out);
  return out;
}

Value filter_round(Runtime&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("round", arguments, {"precision", "method"}, 0);
  const int64_t digits = bound.integer(0, 0);
  const std::string method = bound.string(1, "common");
  int64_t storage = 0;
  const int64_t* integer = integer_of(input, storage);
  if (integer == nullptr && input.as_float() == nullptr) {
    negate(input, false);  // fails with the right message
  }
  if (method != "common" && method != "ceil" && method != "floor") {
    fail("round knows the methods common, ceil and floor");
  }
  if (method == "common") {
    if (integer == nullptr) return Value(round_decimal(*input.as_float(), digits));
    if (digits >= 0) return Value(*integer);
    return Value(static_cast<int64_t>(round_decimal(static_cast<double>(*integer), digits)));
  }
  const double unit = std::pow(10.0, static_cast<double>(digits));
  const double scaled =
      (integer != nullptr ? static_cast<double>(*integer) : *input.as_float()) * unit;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Value filter_tojson(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("tojson", arguments,
                             {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  style.ascii = bound.boolean(0, false);
  style.sort_keys = bound.boolean(3, false);
  if (bound[1] != nullptr && bound[1]->as_text() != nullptr) {
    style.indent_text = bound.text(1).bytes;
    style.indent = 0;
  } else if (bound[1] != nullptr && !bound[1]->is_none()) {
    const int64_t indent = std::max<int64_t>(0, bound.integer(1, 0));
    if (indent > 1000) fail("tojson cannot indent by more than 1000");
    style.indent = static_cast<int>(indent);
  }
  if (style.indent >= 0) style.item_separator = ",";
  if (bound[2] != nullptr && !bound[2]->is_none()) {
    const std::vector<Value> parts = elements_of(runtime, *bound[2]);
    if (parts.size() != 2 || parts[0].as_text() == nullptr || parts[1].as_text() == nullptr) {
      fail("the separators of tojson must be two strings");
    }
    style.item_separator = parts[0].as_text()->bytes;
    style.key_separator = parts[1].as_text()->bytes;
  }
  return to_json(runtime, input, style);
}

constexpr FilterRow kTextFilters[] = {
    {"abs", filter_abs},
    {"capitalize", filter_capitalize},
    {"center", filter_center},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"float", filter_float},
    {"format", filter_format},
    {"indent", filter_indent},
    {"int", filter_int},
    {"lower", filter_case<CaseMap::kLower>},
    {"replace", filter_replace},
    {"round", filter_round},
    {"safe", filter_string},
    {"string", filter_string},
    {"title", filter_title},
    {"tojson", filter_tojson},
    {"trim", filter_trim},
    {"truncate", filter_truncate},
    {"upper", filter_case<CaseMap::kUpper>},
    {"wordcount", filter_wordcount},
};

}  // namespace

std::span<const FilterRow> text_filters() { return kTextFilters; }

const FilterRow* find_filter(std::string_view name) {
  for (const std::span<const FilterRow> rows : {text_filters(), sequence_filters()}) {
    const auto found = std::lower_bound(
        rows.begin(), rows.end(), name,
        [](const FilterRow& row, std::string_view wanted) { return row.name < wanted; });
    if (found != rows.end() && found->name == name) return &*found;
  }
  return nullptr;
}

}  // namespace quern::chat
