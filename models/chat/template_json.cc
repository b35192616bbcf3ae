// Implements template_json.h.
#include "models/chat/template_json.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "models/chat/template_operators.h"
#include "models/chat/unicode.h"

namespace quern::chat {
namespace {

Value number_from_json(const Json& json) {
  if (json.is_number_unsigned()) {
    const auto value = json.get<uint64_t>();
    // Beyond 64 signed bits only the nearest double is kept.
    return value > INT64_MAX ? Value(static_cast<double>(value))
                             : Value(static_cast<int64_t>(value));
  }
  if (json.is_number_integer()) return Value(json.get<int64_t>());
  return Value(json.get<double>());
}

Value from_json_at(Runtime& runtime, const Json& json, bool from_user, int depth) {
  if (depth > TemplateLimits::kValueDepth) {
    fail("the request is nested deeper than " + std::to_string(TemplateLimits::kValueDepth));
  }
  runtime.charge_work();
  if (json.is_string()) return runtime.text(json.get_ref<const std::string&>(), from_user);
  if (json.is_boolean()) return Value(json.get<bool>());
  if (json.is_number()) return number_from_json(json);
  if (json.is_array()) {
    std::vector<Value> items;
    items.reserve(json.size());
    for (const Json& item : json) {
      items.push_back(from_json_at(runtime, item, from_user, depth + 1));
    }
    return runtime.list(std::move(items));
  }
  if (json.is_object()) {
    std::vector<std::pair<Value, Value>> items;
    items.reserve(json.size());
    for (const auto& [key, value] : json.items()) {
      items.emplace_back(runtime.text(key, from_user),
                         from_json_at(runtime, value, from_user, depth + 1));
    }
    return runtime.dict(std::move(items));
  }
  return Value(None{});
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void write(const Value& value, int level) {
    runtime_.charge_work();
    runtime_.charge_bytes(8);
    if (const Text* text = value.as_text()) return write_text(*text);
    if (const Dict* dict = value.as_dict()) return write_dict(*dict, level);
    const Sequence* sequence = value.as_sequence();
    if (sequence != nullptr &&
        (sequence->type == SequenceType::kList || sequence->type == SequenceType::kTuple)) {
      return write_list(*sequence, level);
    }
    out_.append(scalar(value), false);
  }

  Value take() { return runtime_.text(out_.take()); }

 private:
  static std::string scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (const bool* b = value.as_bool()) return *b ? "true" : "false";
    if (const int64_t* i = value.as_int()) return std::to_string(*i);
    if (const double* d = value.as_float()) {
      if (std::isnan(*d)) return "NaN";
      if (std::isinf(*d)) return *d < 0 ? "-Infinity" : "Infinity";
      return float_repr(*d);
    }
    if (value.is_undefined()) {
      fail("tojson cannot write an undefined value: " + value.undefined_message());
    }
    fail("tojson cannot write a value of type " + std::string(type_name(value)));
  }

  void newline(int level) {
    if (style_.indent < 0 && style_.indent_text.empty()) return;
    const std::string unit = style_.indent_text.empty()
                                 ? std::string(static_cast<size_t>(style_.indent), ' ')
                                 : style_.indent_text;
    runtime_.charge_bytes(unit.size() * static_cast<uint64_t>(level) + 1);
    out_.append("\n", false);
    for (int i = 0; i < level; ++i) out_.append(unit, false);
  }

  void write_list(const Sequence& list, int level) {
    if (list.items.empty()) return out_.append("[]", false);
    out_.append("[", false);
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) separator(style_.item_separator);
      newline(level + 1);
      write(list.items[i], level + 1);
    }
    newline(level);
    out_.append("]", false);
  }

  void separator(const std::string& text) {
    runtime_.charge_bytes(text.size());
    out_.append(text, false);
  }

  void write_dict(const Dict& dict, int level) {
    if (dict.items.empty()) return out_.append("{}", false);
    std::vector<size_t> order(dict.items.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (style_.sort_keys) {
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return less(runtime_, dict.items[a].first, dict.items[b].first);
      });
    }
    out_.append("{", false);
    for (size_t i = 0; i < order.size(); ++i) {
      if (i > 0) separator(style_.item_separator);
      newline(level + 1);
      const auto& [key, value] = dict.items[order[i]];
      if (key.as_text() != nullptr) {
        write_text(*key.as_text());
      } else if (key.as_sequence() != nullptr) {
        fail("tojson needs keys that are strings, numbers, booleans or none");
      } else {
        out_.append("\"" + scalar(key) + "\"", false);
      }
      separator(style_.key_separator);
      write(value, level + 1);
    }
    newline(level);
    out_.append("}", false);
  }

  static void append_unit(std::string& out, uint32_t unit) {
    static constexpr char kDigits[] = "0123456789abcdef";
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out.push_back(kDigits[unit >> shift & 0xF]);
  }

  // Appends one code point as JSON writes it inside a string.
  void escape(std::string& out, char32_t c, std::string_view raw) const {
    static constexpr std::string_view kSpecial = "\"\\\b\f\n\r\t";
    static constexpr std::string_view kLetters = "\"\\bfnrt";
    const size_t special = c < 0x80 ? kSpecial.find(static_cast<char>(c)) : std::string_view::npos;
    if (special != std::string_view::npos) {
      out.push_back('\\');
      out.push_back(kLetters[special]);
    } else if (c < 0x20 || (style_.ascii && c >= 0x7F && c < 0x10000)) {
      append_unit(out, c);
    } else if (style_.ascii && c >= 0x10000) {
      append_unit(out, 0xD800 + ((c - 0x10000) >> 10));
      append_unit(out, 0xDC00 + ((c - 0x10000) & 0x3FF));
    } else {
      out.append(raw);
    }
  }

  void write_text(const Text& text) {
    runtime_.charge_bytes(text.bytes.size() * 2);
    UserMarks marks(text);
    out_.append("\"", false);
    for (size_t at = 0; at < text.bytes.size();) {
      const size_t begin = at;
      const bool user = marks.at(at);
      const char32_t c = next_code_point(text.bytes, at);
      std::string escaped;
      escape(escaped, c, std::string_view(text.bytes).substr(begin, at - begin));
      out_.append(escaped, user);
    }
    out_.append("\"", false);
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  TextBuilder out_;
};

}  // namespace

Value from_json(Runtime& runtime, const Json& json, bool from_user) {
  return from_json_at(runtime, json, from_user, 1);
}

uint64_t json_bytes(const Json& json) {
  uint64_t total = 0;
  std::vector<const Json*> pending{&json};
  while (!pending.empty()) {
    const Json& next = *pending.back();
    pending.pop_back();
    total += 4;
    if (next.is_string()) {
      total += next.get_ref<const std::string&>().size();
    } else if (next.is_object()) {
      for (const auto& [key, value] : next.get_ref<const Json::object_t&>()) {
        total += key.size();
        pending.push_back(&value);
      }
    } else if (next.is_array()) {
      for (const Json& item : next) pending.push_back(&item);
    }
  }
  return total;
}

Value to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace quern::chat
