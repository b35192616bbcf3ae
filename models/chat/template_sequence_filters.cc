// Filters on lists, dicts and other iterables; see template_filters.h.
#include <algorithm>
#include <charconv>
#include <numeric>
#include <string>

#include "models/chat/template_arguments.h"
#include "models/chat/template_filters.h"
#include "models/chat/template_operators.h"
#include "models/chat/template_strings.h"
#include "models/chat/template_tests.h"

namespace quern::chat {
namespace {

// Follows "a.b.0" from an item, or yields the item itself for a missing path.
class PathGetter {
 public:
  PathGetter(const Value* path, const Value* otherwise) : otherwise_(otherwise) {
    if (path == nullptr || path->is_none()) return;
    if (path->as_text() == nullptr) {
      parts_.push_back(*path);
      return;
    }
    const std::string& text = path->as_text()->bytes;
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find('.', begin), text.size());
      parts_.push_back(part(text.substr(begin, end - begin)));
      begin = end + 1;
    }
  }

  Value get(Runtime& runtime, Value item) const {
    for (const Value& key : parts_) {
      item = get_item(runtime, item, key);
      if (otherwise_ != nullptr && item.is_undefined()) item = *otherwise_;
    }
    return item;
  }

 private:
  static Value part(const std::string& text) {
    int64_t index = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), index);
    if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && !text.empty() &&
        text[0] != '-') {
      return Value(index);
    }
    auto name = std::make_shared<Text>();
    name->bytes = text;
    return Value(TextRef(std::move(name)));
  }

  std::vector<Value> parts_;
  const Value* otherwise_;
};

// Keys compare without case unless asked for.
Value folded(Runtime& runtime, const Value& value, bool case_sensitive) {
  if (case_sensitive || value.as_text() == nullptr) return value;
  return map_case(runtime, *value.as_text(), CaseMap::kLower);
}

Value filter_batch(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = bound.integer(0, 1);
  if (size < 1) fail("batch needs a size of at least 1");
  std::vector<Value> batches;
  std::vector<Value> row;
  for (Value& item : elements_of(runtime, input)) {
    if (static_cast<int64_t>(row.size()) == size) {
      batches.push_back(runtime.list(std::move(row)));
      row = {};
    }
    row.push_back(std::move(item));
  }
  if (!row.empty()) {
    if (bound[1] != nullptr && !bound[1]->is_none()) {
      runtime.charge_work(static_cast<uint64_t>(size));
      row.resize(static_cast<size_t>(size), *bound[1]);
    }
    batches.push_back(runtime.list(std::move(row)));
  }
  return runtime.generator(std::move(batches));
}

Value filter_slice(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("slice", arguments, {"slices", "fill_with"}, 1);
  const std::vector<Value> items = elements_of(runtime, input);
  const int64_t slices = bound.integer(0, 1);
  if (slices < 1) fail("slice needs at least one slice");
  runtime.charge_work(static_cast<uint64_t>(slices));
  const auto count = static_cast<size_t>(slices);
  const size_t each = items.size() / count;
  const size_t longer = items.size() % count;
  std::vector<Value> out;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t take = each + (i < longer ? 1 : 0);
    std::vector<Value> part(items.begin() + static_cast<int64_t>(at),
                            items.begin() + static_cast<int64_t>(at + take));
    at += take;
    if (bound[1] != nullptr && !bound[1]->is_none() && i >= longer) part.push_back(*bound[1]);
    out.push_back(runtime.list(std::move(part)));
  }
  return runtime.generator(std::move(out));
}

Value filter_default(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("default", arguments, {"default_value", "boolean"}, 0);
  const bool use = input.is_undefined() || (bound.boolean(1, false) && !truthy(input));
  if (!use) return input;
  return bound[0] == nullptr ? runtime.text(std::string()) : *bound[0];
}

void sort_values(Runtime& runtime, std::vector<size_t>& order,
                 const std::vector<std::vector<Value>>& keys, bool reverse) {
  const auto before = [&](size_t a, size_t b) {
    for (size_t i = 0; i < keys[a].size(); ++i) {
      if (equal(runtime, keys[a][i], keys[b][i])) continue;
      return less(runtime, keys[a][i], keys[b][i]);
    }
    return false;
  };
  // Python's reverse keeps equal elements in order.
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    runtime.charge_work();
    return reverse ? before(b, a) : before(a, b);
  });
}

std::vector<size_t> counting(size_t size) {
  std::vector<size_t> order(size);
  std::iota(order.begin(), order.end(), size_t{0});
  return order;
}

Value filter_dictsort(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0);
  const Dict* dict = input.as_dict();
  if (dict == nullptr) fail("dictsort needs a dict, not " + std::string(type_name(input)));
  const std::string by = bound.string(1, "key");
  if (by != "key" && by != "value") fail("dictsort sorts by 'key' or 'value'");
  std::vector<std::vector<Value>> keys;
  for (const auto& [key, value] : dict->items) {
    keys.push_back({folded(runtime, by == "key" ? key : value, bound.boolean(0, false))});
  }
  std::vector<size_t> order = counting(keys.size());
  sort_values(runtime, order, keys, bound.boolean(2, false));
  std::vector<Value> items;
  for (const size_t i : order) {
    items.push_back(runtime.tuple({dict->items[i].first, dict->items[i].second}));
  }
  return runtime.list(std::move(items));
}

Value filter_first(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("first", arguments, {}, 0);
  const std::vector<Value> items = elements_of(runtime, input);
  return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}

Value filter_last(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("last", arguments, {}, 0);
  const Sequence* sequence = input.as_sequence();
  if (sequence != nullptr && sequence->type == SequenceType::kGenerator) {
    fail("a generator has no last item; make it a list first");
  }
  const std::vector<Value> items = elements_of(runtime, input);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value filter_items(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("items", arguments, {}, 0);
  std::vector<Value> items;
  if (!input.is_undefined()) {
    const Dict* dict = input.as_dict();
    if (dict == nullptr) fail("items needs a dict, not " + std::string(type_name(input)));
    for (const auto& [key, value] : dict->items) items.push_back(runtime.tuple({key, value}));
  }
  return runtime.generator(std::move(items));
}

Value filter_join(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("join", arguments, {"d", "attribute"}, 0);
  const PathGetter path(bound[1], nullptr);
  std::vector<Value> items = elements_of(runtime, input);
  for (Value& item : items) item = path.get(runtime, std::move(item));
  const Text empty;
  const TextRef separator = bound[0] == nullptr ? nullptr : to_text(runtime, *bound[0]);
  return join_items(runtime, separator == nullptr ? empty : *separator, items);
}

Value filter_length(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("length", arguments, {}, 0);
  return Value(length_of(runtime, input));
}

Value filter_list(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("list", arguments, {}, 0);
  return runtime.list(elements_of(runtime, input));
}

// The arguments after the first `skip` positional ones.
Arguments rest_of(const Arguments& arguments, size_t skip) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<int64_t>(skip),
                         arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

const std::string& name_argument(const Arguments& arguments, size_t index, const char* what) {
  const Text* name = arguments.positional[index].as_text();
  if (name == nullptr) fail(std::string(what) + " needs a name as a string");
  return name->bytes;
}

Value filter_map(Runtime& runtime, const Value& input, const Arguments& arguments) {
  std::vector<Value> items = elements_of(runtime, input);
  if (arguments.positional.empty()) {
    const BoundArguments bound("map", arguments, {"attribute", "default"}, 1);
    const PathGetter path(bound[0], bound[1]);
    for (Value& item : items) item = path.get(runtime, std::move(item));
    return runtime.generator(std::move(items));
  }
  const std::string& name = name_argument(arguments, 0, "map");
  const FilterRow* filter = find_filter(name);
  if (filter == nullptr) fail("there is no filter named '" + name.substr(0, 60) + "'");
  const Arguments rest = rest_of(arguments, 1);
  const DepthGuard guard(runtime);  // map may name itself
  for (Value& item : items) {
    runtime.charge_work(1 + rest.positional.size());
    item = filter->apply(runtime, item, rest);
  }
  return runtime.generator(std::move(items));
}

// select, reject, selectattr, rejectattr.
template <bool kKeep, bool kAttribute>
Value filter_select(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const size_t skip = kAttribute ? 1 : 0;
  if (arguments.positional.size() < skip) fail("selectattr and rejectattr need an attribute");
  const PathGetter path(kAttribute ? arguments.positional.data() : nullptr, nullptr);
  const TestRow* test = nullptr;
  Arguments rest;
  if (arguments.positional.size() > skip) {
    const std::string& name = name_argument(arguments, skip, "a selecting filter");
    test = find_test(name);
    if (test == nullptr) fail("there is no test named '" + name.substr(0, 60) + "'");
    rest = rest_of(arguments, skip + 1);
  }
  std::vector<Value> out;
  for (Value& item : elements_of(runtime, input)) {
    runtime.charge_work(1 + rest.positional.size());
    const Value subject = path.get(runtime, item);
    const bool holds = test == nullptr ? truthy(subject) : test->holds(runtime, subject, rest);
    if (holds == kKeep) out.push_back(std::move(item));
  }
  return runtime.generator(std::move(out));
}

template <bool kMax>
Value filter_extreme(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound(kMax ? "max" : "min", arguments, {"case_sensitive", "attribute"}, 0);
  const PathGetter path(bound[1], nullptr);
  const std::vector<Value> items = elements_of(runtime, input);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  const auto key = [&](const Value& item) {
    return folded(runtime, path.get(runtime, item), bound.boolean(0, false));
  };
  size_t best = 0;
  Value best_key = key(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    Value candidate = key(items[i]);
    if (kMax ? less(runtime, best_key, candidate) : less(runtime, candidate, best_key)) {
      best = i;
      best_key = std::move(candidate);
    }
  }
  return items[best];
}

Value filter_reverse(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("reverse", arguments, {}, 0);
  std::vector<Value> items = elements_of(runtime, input);
  std::reverse(items.begin(), items.end());
  const Text empty;
  if (input.as_text() != nullptr) return join_items(runtime, empty, items);
  return runtime.generator(std::move(items));
}

Value filter_sort(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0);
  std::vector<PathGetter> paths;
  if (bound[2] != nullptr && bound[2]->as_text() != nullptr) {
    Text comma;
    comma.bytes = ",";
    const Value parts = split_text(runtime, *bound[2]->as_text(), &comma, -1, false);
    for (const Value& part : parts.as_sequence()->items) paths.emplace_back(&part, nullptr);
  } else {
    paths.emplace_back(bound[2], nullptr);
  }
  const std::vector<Value> items = elements_of(runtime, input);
  std::vector<std::vector<Value>> keys(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    for (const PathGetter& path : paths) {
      runtime.charge_work();
      keys[i].push_back(folded(runtime, path.get(runtime, items[i]), bound.boolean(1, false)));
    }
  }
  std::vector<size_t> order = counting(items.size());
  sort_values(runtime, order, keys, bound.boolean(0, false));
  std::vector<Value> out;
  for (const size_t i : order) out.push_back(items[i]);
  return runtime.list(std::move(out));
}

Value filter_sum(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("sum", arguments, {"attribute", "start"}, 0);
  const PathGetter path(bound[0], nullptr);
  Value total = bound[1] == nullptr ? Value(int64_t{0}) : *bound[1];
  for (const Value& item : elements_of(runtime, input)) {
    total = arithmetic(runtime, Op::kAdd, total, path.get(runtime, item));
  }
  return total;
}

Value filter_unique(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("unique", arguments, {"case_sensitive", "attribute"}, 0);
  const PathGetter path(bound[1], nullptr);
  std::vector<Value> out;
  std::vector<Value> seen;
  std::unordered_map<std::string, bool> seen_texts;
  for (const Value& item : elements_of(runtime, input)) {
    const Value key = folded(runtime, path.get(runtime, item), bound.boolean(0, false));
    if (const Text* text = key.as_text()) {
      if (seen_texts.emplace(text->bytes, true).second) out.push_back(item);
      continue;
    }
    const bool known = std::any_of(seen.begin(), seen.end(),
                                   [&](const Value& other) { return equal(runtime, other, key); });
    if (known) continue;
    seen.push_back(key);
    out.push_back(item);
  }
  return runtime.generator(std::move(out));
}

Value filter_groupby(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const PathGetter path(bound[0], bound[1]);
  const std::vector<Value> items = elements_of(runtime, input);
  std::vector<std::vector<Value>> keys(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    keys[i].push_back(folded(runtime, path.get(runtime, items[i]), bound.boolean(2, false)));
  }
  std::vector<size_t> order = counting(items.size());
  sort_values(runtime, order, keys, false);
  std::vector<Value> groups;
  for (size_t i = 0; i < order.size();) {
    const size_t first = order[i];
    std::vector<Value> members;
    for (; i < order.size() && equal(runtime, keys[first][0], keys[order[i]][0]); ++i) {
      members.push_back(items[order[i]]);
    }
    groups.push_back(runtime.tuple({path.get(runtime, items[first]), runtime.list(members)}));
  }
  return runtime.list(std::move(groups));
}

constexpr FilterRow kSequenceFilters[] = {
    {"batch", filter_batch},
    {"count", filter_length},
    {"d", filter_default},
    {"default", filter_default},
    {"dictsort", filter_dictsort},
    {"first", filter_first},
    {"groupby", filter_groupby},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"length", filter_length},
    {"list", filter_list},
    {"map", filter_map},
    {"max", filter_extreme<true>},
    {"min", filter_extreme<false>},
    {"reject", filter_select<false, false>},
    {"rejectattr", filter_select<false, true>},
    {"reverse", filter_reverse},
    {"select", filter_select<true, false>},
    {"selectattr", filter_select<true, true>},
    {"slice", filter_slice},
    {"sort", filter_sort},
    {"sum", filter_sum},
    {"unique", filter_unique},
};

}  // namespace

std::span<const FilterRow> sequence_filters() { return kSequenceFilters; }

}  // namespace quern::chat
