// The method tables; see template_methods.h.
#include "models/chat/template_methods.h"

#include <algorithm>
#include <span>
#include <string>

#include "models/chat/template_arguments.h"
#include "models/chat/template_formatting.h"
#include "models/chat/template_operators.h"
#include "models/chat/template_strings.h"

namespace quern::chat {
namespace {

template <StripSides kSides>
Value str_strip(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("strip", arguments, {"chars"}, 0);
  return strip_text(runtime, *self.as_text(), bound.text_or_null(0), kSides);
}

template <bool kFromRight>
Value str_split(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("split", arguments, {"sep", "maxsplit"}, 0);
  return split_text(runtime, *self.as_text(), bound.text_or_null(0), bound.integer(1, -1),
                    kFromRight);
}

Value str_splitlines(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("splitlines", arguments, {"keepends"}, 0);
  return runtime.list(split_lines(runtime, *self.as_text(), bound.boolean(0, false)));
}

template <CaseMap kMap>
Value str_case(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("a case method", arguments, {}, 0);
  return map_case(runtime, *self.as_text(), kMap);
}

Value str_capitalize(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("capitalize", arguments, {}, 0);
  return capitalize(runtime, *self.as_text());
}

Value str_swapcase(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("swapcase", arguments, {}, 0);
  const Text& text = *self.as_text();
  runtime.charge_bytes(text.bytes.size() * 3);
  UserMarks marks(text);
  TextBuilder out;
  for (size_t at = 0; at < text.bytes.size();) {
    const bool user = marks.at(at);
    const char32_t c = next_code_point(text.bytes, at);
    std::string mapped;
    append_mapped(mapped, c, is_upper(c) ? CaseMap::kLower : CaseMap::kUpper);
    out.append(mapped, user);
  }
  return runtime.text(out.take());
}

// The part of the string that optional start and end arguments select, as byte positions.
ByteRange window(Runtime& runtime, const Text& text, const Value* start, const Value* end) {
  if (start == nullptr && end == nullptr) return {0, text.bytes.size()};
  const int64_t size = length_of(runtime, Value(std::make_shared<const Text>(text)));
  const auto position = [&](const Value* part, int64_t otherwise) {
    int64_t at = otherwise;
    if (part != nullptr && !part->is_none()) {
      int64_t storage = 0;
      const int64_t* value = integer_of(*part, storage);
      if (value == nullptr) fail("a string position must be an integer");
      at = *value < 0 ? std::max<int64_t>(0, std::max(*value, -size) + size)
                      : std::min(*value, size + 1);
    }
    return at;
  };
  const int64_t from = position(start, 0);
  const int64_t to = std::min(position(end, size), size);
  if (from > to) return {1, 0};  // empty and matching nothing, not even ""
  return {byte_position(text.bytes, static_cast<size_t>(from)),
          byte_position(text.bytes, static_cast<size_t>(to))};
}

template <bool kEnd>
Value str_has_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound(kEnd ? "endswith" : "startswith", arguments,
                             {kEnd ? "suffix" : "prefix", "start", "end"}, 1);
  const Text& text = *self.as_text();
  const ByteRange range = window(runtime, text, bound[1], bound[2]);
  const auto matches = [&](const Text& affix) {
    runtime.charge_bytes(affix.bytes.size());
    if (range.begin > range.end) return false;
    const auto part = std::string_view(text.bytes).substr(range.begin, range.end - range.begin);
    return kEnd ? part.ends_with(affix.bytes) : part.starts_with(affix.bytes);
  };
  const Sequence* options = bound[0]->as_sequence();
  if (options == nullptr || options->type != SequenceType::kTuple) {
    return Value(matches(bound.text(0)));
  }
  for (const Value& option : options->items) {
    if (option.as_text() == nullptr) fail("startswith and endswith need strings");
    if (matches(*option.as_text())) return Value(true);
  }
  return Value(false);
}

template <bool kFromRight, bool kMustExist>
Value str_find(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound(kMustExist ? "index" : "find", arguments, {"sub", "start", "end"}, 1);
  const Text& text = *self.as_text();
  const ByteRange range = window(runtime, text, bound[1], bound[2]);
  runtime.charge_bytes(text.bytes.size());
  const std::string& part = bound.text(0).bytes;
  if (range.begin <= range.end) {
    const auto inside = std::string_view(text.bytes).substr(range.begin, range.end - range.begin);
    const size_t found = kFromRight ? inside.rfind(part) : inside.find(part);
    if (found != std::string_view::npos) {
      const auto before = std::string_view(text.bytes).substr(0, range.begin + found);
      return Value(static_cast<int64_t>(count_code_points(before)));
    }
  }
  if (kMustExist) fail("substring not found");
  return Value(int64_t{-1});
}

Value str_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("count", arguments, {"sub", "start", "end"}, 1);
  const Text& text = *self.as_text();
  const ByteRange range = window(runtime, text, bound[1], bound[2]);
  runtime.charge_bytes(text.bytes.size());
  const std::string& part = bound.text(0).bytes;
  if (range.begin > range.end) return Value(int64_t{0});
  const auto inside = std::string_view(text.bytes).substr(range.begin, range.end - range.begin);
  if (part.empty()) return Value(static_cast<int64_t>(count_code_points(inside)) + 1);
  int64_t count = 0;
  for (size_t at = inside.find(part); at != std::string_view::npos;
       at = inside.find(part, at + part.size())) {
    ++count;
  }
  return Value(count);
}

Value str_replace(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2);
  return replace_text(runtime, *self.as_text(), bound.text(0), bound.text(1), bound.integer(2, -1));
}

Value str_join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("join", arguments, {"iterable"}, 1);
  const std::vector<Value> items = elements_of(runtime, *bound[0]);
  for (const Value& item : items) {
    if (item.as_text() == nullptr) {
      fail("str.join needs strings, found a value of type " + std::string(type_name(item)));
    }
  }
  return join_items(runtime, *self.as_text(), items);
}

template <bool kFromRight>
Value str_partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("partition", arguments, {"sep"}, 1);
  const Text& text = *self.as_text();
  const std::string& separator = bound.text(0).bytes;
  if (separator.empty()) fail("partition needs a separator");
  runtime.charge_bytes(text.bytes.size());
  const size_t found = kFromRight ? text.bytes.rfind(separator) : text.bytes.find(separator);
  const Value empty = runtime.text(std::string());
  if (found == std::string::npos) {
    return kFromRight ? runtime.tuple({empty, empty, self}) : runtime.tuple({self, empty, empty});
  }
  const size_t after = found + separator.size();
  return runtime.tuple({part_of(runtime, text, 0, found), part_of(runtime, text, found, after),
                        part_of(runtime, text, after, text.bytes.size())});
}

template <bool kSuffix>
Value str_remove_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("removeprefix", arguments, {kSuffix ? "suffix" : "prefix"}, 1);
  const Text& text = *self.as_text();
  const std::string& affix = bound.text(0).bytes;
  const size_t size = text.bytes.size();
  if (kSuffix && text.bytes.ends_with(affix)) {
    return part_of(runtime, text, 0, size - affix.size());
  }
  if (!kSuffix && text.bytes.starts_with(affix)) {
    return part_of(runtime, text, affix.size(), size);
  }
  return self;
}

template <int kLeftHalves>
Value str_pad(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("a padding method", arguments, {"width", "fillchar"}, 1);
  return pad_text(runtime, *self.as_text(), bound.integer(0, 0), bound.text_or_null(1),
                  kLeftHalves);
}

Value str_zfill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("zfill", arguments, {"width"}, 1);
  const Text& text = *self.as_text();
  const size_t sign = text.bytes.starts_with('-') || text.bytes.starts_with('+') ? 1 : 0;
  Text zero;
  zero.bytes = "0";
  TextBuilder digits;
  digits.append(text, sign, text.bytes.size());
  const Value padded =
      pad_text(runtime, digits.take(), bound.integer(0, 0) - static_cast<int64_t>(sign), &zero, 2);
  TextBuilder out;
  out.append(text, 0, sign);
  out.append(*padded.as_text());
  return runtime.text(out.take());
}

template <bool (*kHolds)(char32_t)>
Value str_is(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("a character test", arguments, {}, 0);
  const std::string& bytes = self.as_text()->bytes;
  runtime.charge_bytes(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    if (!kHolds(next_code_point(bytes, at))) return Value(false);
  }
  return Value(!bytes.empty());
}

template <bool kUpper>
Value str_is_case(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("a case test", arguments, {}, 0);
  const std::string& bytes = self.as_text()->bytes;
  runtime.charge_bytes(bytes.size());
  return Value(kUpper ? all_upper(bytes) : all_lower(bytes));
}

Value str_format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return brace_format(runtime, *self.as_text(), arguments);
}

Value list_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("count", arguments, {"value"}, 1);
  int64_t count = 0;
  for (const Value& item : self.as_sequence()->items) count += equal(runtime, item, *bound[0]);
  return Value(count);
}

Value list_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("index", arguments, {"value"}, 1);
  const std::vector<Value>& items = self.as_sequence()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(runtime, items[i], *bound[0])) return Value(static_cast<int64_t>(i));
  }
  fail("the value is not in the list");
}

Value copy_self(Runtime&, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("copy", arguments, {}, 0);
  return self;  // values are immutable
}

Value dict_get(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("get", arguments, {"key", "default"}, 1);
  const Dict& dict = *self.as_dict();
  const size_t at = find_key(runtime, dict, *bound[0]);
  if (at != SIZE_MAX) return dict.items[at].second;
  return bound[1] == nullptr ? Value(None{}) : *bound[1];
}

Value dict_items(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("items", arguments, {}, 0);
  std::vector<Value> items;
  for (const auto& [key, value] : self.as_dict()->items) {
    items.push_back(runtime.tuple({key, value}));
  }
  return runtime.sequence(SequenceType::kItemsView, std::move(items));
}

template <bool kKeys>
Value dict_part(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const BoundArguments bound(kKeys ? "keys" : "values", arguments, {}, 0);
  std::vector<Value> items;
  for (const auto& item : self.as_dict()->items) items.push_back(kKeys ? item.first : item.second);
  return runtime.sequence(kKeys ? SequenceType::kKeysView : SequenceType::kValuesView,
                          std::move(items));
}

// Methods that would change the value exist as names, so that a key does not stand in for them.
Value refuse_change(Runtime&, const Value& self, const Arguments&) {
  fail("methods that change a " + std::string(type_name(self)) + " are not allowed in templates");
}

constexpr MethodRow kStringMethods[] = {
    {"capitalize", str_capitalize},
    {"casefold", str_case<CaseMap::kLower>},
    {"center", str_pad<1>},
    {"count", str_count},
    {"endswith", str_has_affix<true>},
    {"find", str_find<false, false>},
    {"format", str_format},
    {"index", str_find<false, true>},
    {"isalnum", str_is<is_alnum>},
    {"isalpha", str_is<is_alpha>},
    {"isdecimal", str_is<is_digit>},
    {"isdigit", str_is<is_digit>},
    {"islower", str_is_case<false>},
    {"isnumeric", str_is<is_digit>},
    {"isspace", str_is<is_space>},
    {"isupper", str_is_case<true>},
    {"join", str_join},
    {"ljust", str_pad<0>},
    {"lower", str_case<CaseMap::kLower>},
    {"lstrip", str_strip<StripSides::kLeft>},
    {"partition", str_partition<false>},
    {"removeprefix", str_remove_affix<false>},
    {"removesuffix", str_remove_affix<true>},
    {"replace", str_replace},
    {"rfind", str_find<true, false>},
    {"rindex", str_find<true, true>},
    {"rjust", str_pad<2>},
    {"rpartition", str_partition<true>},
    {"rsplit", str_split<true>},
    {"rstrip", str_strip<StripSides::kRight>},
    {"split", str_split<false>},
    {"splitlines", str_splitlines},
    {"startswith", str_has_affix<false>},
    {"strip", str_strip<StripSides::kBoth>},
    {"swapcase", str_swapcase},
    {"title", str_case<CaseMap::kTitle>},
    {"upper", str_case<CaseMap::kUpper>},
    {"zfill", str_zfill},
};
constexpr MethodRow kListMethods[] = {
    {"append", refuse_change},  {"clear", refuse_change},  {"copy", copy_self},
    {"count", list_count},      {"extend", refuse_change}, {"index", list_index},
    {"insert", refuse_change},  {"pop", refuse_change},    {"remove", refuse_change},
    {"reverse", refuse_change}, {"sort", refuse_change},
};
constexpr MethodRow kTupleMethods[] = {
    {"count", list_count},
    {"index", list_index},
};
constexpr MethodRow kDictMethods[] = {
    {"clear", refuse_change},     {"copy", copy_self},           {"get", dict_get},
    {"items", dict_items},        {"keys", dict_part<true>},     {"pop", refuse_change},
    {"popitem", refuse_change},   {"setdefault", refuse_change}, {"update", refuse_change},
    {"values", dict_part<false>},
};

std::span<const MethodRow> methods_of(const Value& value) {
  if (value.as_text() != nullptr) return kStringMethods;
  if (value.as_dict() != nullptr) return kDictMethods;
  if (const Sequence* sequence = value.as_sequence()) {
    if (sequence->type == SequenceType::kList) return kListMethods;
    if (sequence->type == SequenceType::kTuple) return kTupleMethods;
  }
  return {};
}

class BoundMethod final : public Object {
 public:
  BoundMethod(Value self, const MethodRow& method) : self_(std::move(self)), method_(method) {}
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, Arguments arguments) override {
    return method_.apply(runtime, self_, arguments);
  }

 private:
  Value self_;
  const MethodRow& method_;
};

}  // namespace

const MethodRow* find_method(const Value& value, std::string_view name) {
  const std::span<const MethodRow> rows = methods_of(value);
  const auto found = std::lower_bound(
      rows.begin(), rows.end(), name,
      [](const MethodRow& row, std::string_view wanted) { return row.name < wanted; });
  return found != rows.end() && found->name == name ? &*found : nullptr;
}

Value bound_method(Runtime& runtime, const Value& self, const MethodRow& method) {
  if (method.apply == refuse_change) {
    return Value::undefined("methods that change a " + std::string(type_name(self)) +
                            " are not allowed in templates");
  }
  return Value(static_cast<Object*>(runtime.make<BoundMethod>(self, method)));
}

}  // namespace quern::chat
