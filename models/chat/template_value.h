// The values a template computes with: Python's, as far as chat templates need them.
//
// Strings, lists and dicts are immutable and shared; objects (namespace, loop, macro, ...) belong
// to the runtime of one rendering and are only pointed at, so no cycle can keep memory alive.
// Invariant: containers know their nesting depth, which is bounded, so recursion over a value is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "models/chat/text.h"

namespace quern::chat {

class Object;
class Runtime;
class Value;
struct Sequence;
struct Dict;
struct Range;

using SequenceRef = std::shared_ptr<const Sequence>;
using DictRef = std::shared_ptr<const Dict>;
using RangeRef = std::shared_ptr<const Range>;

struct None {};
// The result of a look-up that found nothing; using it for more than printing and tests fails with
// this message.
using UndefinedRef = std::shared_ptr<const std::string>;

class Value {
 public:
  Value() = default;  // undefined without a message
  Value(None) : data_(None{}) {}
  explicit Value(bool value) : data_(value) {}
  explicit Value(int64_t value) : data_(value) {}
  explicit Value(double value) : data_(value) {}
  explicit Value(TextRef text) : data_(std::move(text)) {}
  explicit Value(SequenceRef sequence) : data_(std::move(sequence)) {}
  explicit Value(DictRef dict) : data_(std::move(dict)) {}
  explicit Value(RangeRef range) : data_(std::move(range)) {}
  explicit Value(Object* object) : data_(object) {}
  static Value undefined(std::string message) {
    Value value;
    value.data_ = std::make_shared<const std::string>(std::move(message));
    return value;
  }

  bool is_undefined() const { return std::holds_alternative<UndefinedRef>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  const bool* as_bool() const { return std::get_if<bool>(&data_); }
  const int64_t* as_int() const { return std::get_if<int64_t>(&data_); }
  const double* as_float() const { return std::get_if<double>(&data_); }
  const Text* as_text() const { return pointee<TextRef>(); }
  const Sequence* as_sequence() const { return pointee<SequenceRef>(); }
  const Dict* as_dict() const { return pointee<DictRef>(); }
  const Range* as_range() const { return pointee<RangeRef>(); }
  Object* as_object() const {
    const auto* object = std::get_if<Object*>(&data_);
    return object == nullptr ? nullptr : *object;
  }
  // Preconditions: the value is of that kind.
  const TextRef& text_ref() const { return std::get<TextRef>(data_); }
  const SequenceRef& sequence_ref() const { return std::get<SequenceRef>(data_); }
  const DictRef& dict_ref() const { return std::get<DictRef>(data_); }
  const RangeRef& range_ref() const { return std::get<RangeRef>(data_); }
  // Message of an undefined value.
  std::string undefined_message() const {
    const UndefinedRef& message = std::get<UndefinedRef>(data_);
    return message == nullptr ? "a value is undefined" : *message;
  }

 private:
  template <typename Ref>
  typename Ref::element_type* pointee() const {
    const Ref* ref = std::get_if<Ref>(&data_);
    return ref == nullptr ? nullptr : ref->get();
  }

  std::variant<UndefinedRef, None, bool, int64_t, double, TextRef, SequenceRef, DictRef, RangeRef,
               Object*>
      data_;
};

enum class SequenceType { kList, kTuple, kKeysView, kValuesView, kItemsView, kGenerator };

struct Sequence {
  SequenceType type = SequenceType::kList;
  std::vector<Value> items;
  int depth = 1;
  mutable bool consumed = false;  // a generator yields its items once
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;            // insertion order
  std::unordered_map<std::string_view, size_t> by_text;  // keys that are strings
  size_t other_keys = 0;
  int depth = 1;
};

// Python's range: never spread out in memory.
struct Range {
  int64_t start = 0;
  int64_t step = 1;
  int64_t size = 0;
  int64_t at(int64_t index) const { return start + index * step; }
};

// Arguments of a call, filter or test.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// A mutable or callable thing with identity.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string_view type_name() const = 0;  // as Python names the type
  virtual bool callable() const { return false; }
  // Precondition: callable().
  virtual Value call(Runtime& runtime, Arguments arguments);
  // Whether the attribute exists; sets `out` if so.
  virtual bool attribute(Runtime&, std::string_view, Value&) { return false; }
};

}  // namespace quern::chat
