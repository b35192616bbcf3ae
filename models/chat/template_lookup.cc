// Lengths, elements, attributes, items and slices of template values; see template_operators.h.
#include <algorithm>
#include <string>
#include <utility>

#include "models/chat/template_methods.h"
#include "models/chat/template_operators.h"
#include "models/chat/unicode.h"

namespace quern::chat {
namespace {

// "str object" and so on, as Jinja's messages name a value.
std::string described(const Value& value) {
  if (value.is_none()) return "None";
  return std::string(type_name(value)) + " object";
}

Value missing(const Value& object, std::string_view name) {
  return Value::undefined("'" + described(object) + "' has no attribute '" +
                          std::string(name.substr(0, 100)) + "'");
}

std::vector<Value> characters(Runtime& runtime, const Text& text) {
  runtime.charge_bytes(text.bytes.size());
  std::vector<Value> out;
  for (size_t at = 0; at < text.bytes.size();) {
    const size_t begin = at;
    next_code_point(text.bytes, at);
    TextBuilder piece;
    piece.append(text, begin, at);
    out.push_back(runtime.text(piece.take()));
  }
  return out;
}

// Python's slice.indices for a step.
struct SliceBounds {
  int64_t start;
  int64_t stop;
  int64_t step;
};

SliceBounds slice_bounds(int64_t size, const Value* start, const Value* stop, const Value* step) {
  const auto integer = [](const Value* part, int64_t otherwise) {
    if (part == nullptr || part->is_none()) return otherwise;
    int64_t storage = 0;
    const int64_t* value = integer_of(*part, storage);
    return value == nullptr ? otherwise : *value;  // get_slice has checked the type
  };
  SliceBounds bounds{};
  bounds.step = integer(step, 1);
  if (bounds.step == 0) fail("a slice step cannot be zero");
  // Any step beyond the size takes one element; a bounded one cannot overflow.
  bounds.step = std::clamp(bounds.step, -size - 1, size + 1);
  const bool forward = bounds.step > 0;
  const int64_t low = forward ? 0 : -1;
  const int64_t high = forward ? size : size - 1;
  const auto clamped = [&](int64_t at) {
    if (at < 0) at = at < -size ? low - size : at;  // far below: any value under the range
    if (at < 0) at += size;
    return std::clamp(at, low, high);
  };
  const bool has_start = start != nullptr && !start->is_none();
  const bool has_stop = stop != nullptr && !stop->is_none();
  bounds.start = has_start ? clamped(integer(start, 0)) : (forward ? low : high);
  bounds.stop = has_stop ? clamped(integer(stop, 0)) : (forward ? high : low);
  return bounds;
}

// Calls visit(index) for each index of the slice.
template <typename Visit>
void for_slice(Runtime& runtime, const SliceBounds& bounds, Visit visit) {
  int64_t at = bounds.start;
  while (bounds.step > 0 ? at < bounds.stop : at > bounds.stop) {
    runtime.charge_work();
    visit(static_cast<size_t>(at));
    if (__builtin_add_overflow(at, bounds.step, &at)) return;
  }
}

Value slice_text(Runtime& runtime, const Text& text, const Value* start, const Value* stop,
                 const Value* step) {
  runtime.charge_bytes(text.bytes.size());
  const auto size = static_cast<int64_t>(count_code_points(text.bytes));
  const SliceBounds bounds = slice_bounds(size, start, stop, step);
  TextBuilder out;
  if (bounds.step == 1) {
    const size_t begin = byte_position(text.bytes, static_cast<size_t>(bounds.start));
    const int64_t count = std::max<int64_t>(0, bounds.stop - bounds.start);
    const size_t bytes =
        byte_position(std::string_view(text.bytes).substr(begin), static_cast<size_t>(count));
    out.append(text, begin, begin + bytes);
    return runtime.text(out.take());
  }
  std::vector<size_t> positions;
  for (size_t at = 0; at < text.bytes.size(); next_code_point(text.bytes, at)) {
    positions.push_back(at);
  }
  positions.push_back(text.bytes.size());
  for_slice(runtime, bounds, [&](size_t i) { out.append(text, positions[i], positions[i + 1]); });
  return runtime.text(out.take());
}

Value slice_range(const Range& range, const SliceBounds& bounds) {
  auto part = std::make_shared<Range>();
  const int64_t span = bounds.step > 0 ? bounds.stop - bounds.start : bounds.start - bounds.stop;
  const int64_t stride = bounds.step > 0 ? bounds.step : -bounds.step;
  if (span > 0) {
    part->start = range.at(bounds.start);
    part->size = (span - 1) / stride + 1;
    if (part->size > 1) part->step = range.step * bounds.step;  // reaches an element: no overflow
  }
  return Value(RangeRef(std::move(part)));
}

// Element of a sequence by integer, or undefined.
Value element_at(Runtime& runtime, const Value& object, int64_t index) {
  const Text* text = object.as_text();
  const Sequence* sequence = object.as_sequence();
  const bool indexable = text != nullptr || object.as_range() != nullptr ||
                         (sequence != nullptr && (sequence->type == SequenceType::kList ||
                                                  sequence->type == SequenceType::kTuple));
  if (indexable) {
    const int64_t size = length_of(runtime, object);
    const int64_t at = index < 0 ? index + size : index;
    if (at >= 0 && at < size) {
      if (object.as_range() != nullptr) return Value(object.as_range()->at(at));
      if (sequence != nullptr) return sequence->items[static_cast<size_t>(at)];
      const size_t begin = byte_position(text->bytes, static_cast<size_t>(at));
      size_t end = begin;
      next_code_point(text->bytes, end);
      TextBuilder out;
      out.append(*text, begin, end);
      return runtime.text(out.take());
    }
  }
  return Value::undefined(described(object) + " has no element " + std::to_string(index));
}

}  // namespace

int64_t length_of(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) return 0;
  if (const Text* text = value.as_text()) {
    runtime.charge_bytes(text->bytes.size() / 4);
    return static_cast<int64_t>(count_code_points(text->bytes));
  }
  if (const Dict* dict = value.as_dict()) return static_cast<int64_t>(dict->items.size());
  if (const Range* range = value.as_range()) return range->size;
  const Sequence* sequence = value.as_sequence();
  if (sequence == nullptr || sequence->type == SequenceType::kGenerator) {
    fail("a value of type " + std::string(type_name(value)) + " has no length");
  }
  return static_cast<int64_t>(sequence->items.size());
}

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.as_text() != nullptr || value.as_sequence() != nullptr ||
         value.as_dict() != nullptr || value.as_range() != nullptr;
}

std::vector<Value> elements_of(Runtime& runtime, const Value& value) {
  std::vector<Value> out;
  if (value.is_undefined()) return out;
  if (const Text* text = value.as_text()) return characters(runtime, *text);
  if (const Dict* dict = value.as_dict()) {
    runtime.charge_work(dict->items.size());
    out.reserve(dict->items.size());
    for (const auto& item : dict->items) out.push_back(item.first);
    return out;
  }
  if (const Range* range = value.as_range()) {
    runtime.charge_work(static_cast<uint64_t>(range->size));
    for (int64_t i = 0; i < range->size; ++i) out.push_back(Value(range->at(i)));
    return out;
  }
  const Sequence* sequence = value.as_sequence();
  if (sequence == nullptr)
    fail("a value of type " + std::string(type_name(value)) + " cannot be iterated over");
  if (sequence->type == SequenceType::kGenerator && std::exchange(sequence->consumed, true)) {
    return out;
  }
  runtime.charge_work(sequence->items.size());
  return sequence->items;
}

Value get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) fail(object.undefined_message());
  if (const MethodRow* method = find_method(object, name)) {
    return bound_method(runtime, object, *method);
  }
  if (const Dict* dict = object.as_dict()) {
    if (const auto found = dict->by_text.find(name); found != dict->by_text.end()) {
      return dict->items[found->second].second;
    }
  }
  if (Object* thing = object.as_object()) {
    Value out;
    if (thing->attribute(runtime, name, out)) return out;
  }
  return missing(object, name);
}

Value get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) fail(object.undefined_message());
  if (const Dict* dict = object.as_dict()) {
    const bool unhashable =
        key.as_dict() != nullptr ||
        (key.as_sequence() != nullptr && key.as_sequence()->type == SequenceType::kList);
    const size_t at = unhashable ? SIZE_MAX : find_key(runtime, *dict, key);
    if (at != SIZE_MAX) return dict->items[at].second;
  }
  if (const Text* name = key.as_text()) return get_attribute(runtime, object, name->bytes);
  int64_t storage = 0;
  if (const int64_t* index = integer_of(key, storage)) {
    if (object.as_dict() == nullptr) return element_at(runtime, object, *index);
  }
  if (key.is_undefined()) return Value::undefined(key.undefined_message());
  TextBuilder shown;
  append_repr(runtime, shown, key);
  return Value::undefined(described(object) + " has no element " +
                          shown.text().bytes.substr(0, 100));
}

Value get_slice(Runtime& runtime, const Value& object, const Value* start, const Value* stop,
                const Value* step) {
  if (object.is_undefined()) fail(object.undefined_message());
  for (const Value* part : {start, stop, step}) {
    int64_t storage = 0;
    if (part != nullptr && !part->is_none() && integer_of(*part, storage) == nullptr) {
      return Value::undefined("slice indices must be integers or none, not " +
                              std::string(type_name(*part)));
    }
  }
  if (const Text* text = object.as_text()) return slice_text(runtime, *text, start, stop, step);
  if (const Range* range = object.as_range()) {
    return slice_range(*range, slice_bounds(range->size, start, stop, step));
  }
  const Sequence* sequence = object.as_sequence();
  if (sequence == nullptr ||
      (sequence->type != SequenceType::kList && sequence->type != SequenceType::kTuple)) {
    return Value::undefined(described(object) + " cannot be sliced");
  }
  const auto size = static_cast<int64_t>(sequence->items.size());
  std::vector<Value> items;
  for_slice(runtime, slice_bounds(size, start, stop, step),
            [&](size_t i) { items.push_back(sequence->items[i]); });
  return runtime.sequence(sequence->type, std::move(items));
}

}  // namespace quern::chat
