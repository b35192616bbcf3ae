// Typed getters. Every error names the key, what is stored there and what was expected.
#include "models/gguf/metadata.h"

#include <array>
#include <type_traits>
#include <utility>

#include "config/base/checked.h"
#include "models/gguf/name_rules.h"

namespace quern::gguf {
namespace {

// Kind of each alternative of Value, in its order; the array half repeats the element kinds.
constexpr std::array kAlternatives = {
    ValueKind::kUint8,  ValueKind::kInt8,   ValueKind::kUint16,  ValueKind::kInt16,
    ValueKind::kUint32, ValueKind::kInt32,  ValueKind::kFloat32, ValueKind::kBool,
    ValueKind::kString, ValueKind::kUint64, ValueKind::kInt64,   ValueKind::kFloat64,
};
constexpr size_t kScalars = kAlternatives.size();
static_assert(std::variant_size_v<Value> == 2 * kScalars);

std::string describe(const Value& value) {
  const size_t index = value.index();
  const std::string kind(value_kind_name(kAlternatives[index % kScalars]));
  return index < kScalars ? kind : "array of " + kind;
}

Error absent(std::string_view key, std::string_view expected) {
  return Error(ErrorKind::kInvalidInput, "key '" + printable(key) + "' is missing, expected " +
                                             std::string(expected) +
                                             ": convert the model again with a current tool");
}

Error wrong_type(std::string_view key, const Value& value, std::string_view expected) {
  return Error(ErrorKind::kInvalidInput, "key '" + printable(key) + "' holds " + describe(value) +
                                             ", expected " + std::string(expected) +
                                             ": convert the model again with a current tool");
}

Error out_of_range(std::string_view key, const std::string& found, std::string_view expected) {
  return Error(ErrorKind::kInvalidInput, "key '" + printable(key) + "' is " + found +
                                             ", expected " + std::string(expected) +
                                             ": convert the model again with a current tool");
}

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// The integer in `value` as To; an error when it is another kind or does not fit.
template <typename To>
Result<To> to_integer(std::string_view key, const Value& value, std::string_view expected) {
  return std::visit(
      [&](const auto& held) -> Result<To> {
        using T = std::decay_t<decltype(held)>;
        if constexpr (kIsInteger<T>) {
          if (const auto fits = checked_cast<To>(held)) return *fits;
          return out_of_range(key, std::to_string(held), expected);
        } else {
          return wrong_type(key, value, expected);
        }
      },
      value);
}

template <typename T>
constexpr std::string_view element_name() {
  if constexpr (std::is_same_v<T, std::string>) {
    return "string";
  } else if constexpr (std::is_floating_point_v<T>) {
    return sizeof(T) == 4 ? "float32" : "float64";
  } else {
    constexpr bool kSigned = std::is_signed_v<T>;
    switch (sizeof(T)) {
      case 1:
        return kSigned ? "int8" : "uint8";
      case 2:
        return kSigned ? "int16" : "uint16";
      case 4:
        return kSigned ? "int32" : "uint32";
      default:
        return kSigned ? "int64" : "uint64";
    }
  }
}

// Turns an optional getter's answer into a required one.
template <typename T>
Result<T> require(Result<std::optional<T>> found, std::string_view key, std::string_view expected) {
  if (!found.ok()) return found.error();
  if (!found->has_value()) return absent(key, expected);
  return **found;
}

}  // namespace

std::string_view value_kind_name(ValueKind kind) {
  switch (kind) {
    case ValueKind::kUint8:
      return "uint8";
    case ValueKind::kInt8:
      return "int8";
    case ValueKind::kUint16:
      return "uint16";
    case ValueKind::kInt16:
      return "int16";
    case ValueKind::kUint32:
      return "uint32";
    case ValueKind::kInt32:
      return "int32";
    case ValueKind::kFloat32:
      return "float32";
    case ValueKind::kBool:
      return "bool";
    case ValueKind::kString:
      return "string";
    case ValueKind::kArray:
      return "array";
    case ValueKind::kUint64:
      return "uint64";
    case ValueKind::kInt64:
      return "int64";
    case ValueKind::kFloat64:
      return "float64";
  }
  return "unknown";
}

ValueKind value_kind(const Value& value) {
  return value.index() < kScalars ? kAlternatives[value.index()] : ValueKind::kArray;
}

ValueKind element_kind(const Value& value) { return kAlternatives[value.index() % kScalars]; }

void Metadata::reserve(size_t n_pairs) {
  entries_.reserve(n_pairs);
  index_.reserve(n_pairs);
}

Status Metadata::add(std::string key, Value value) {
  const auto [place, inserted] = index_.try_emplace(key, entries_.size());
  if (!inserted) {
    return Error(ErrorKind::kInvalidInput, "key '" + printable(key) + "' appears twice");
  }
  entries_.emplace_back(std::move(key), std::move(value));
  return ok_status();
}

void Metadata::set(std::string key, Value value) {
  const auto [place, inserted] = index_.try_emplace(key, entries_.size());
  if (inserted) {
    entries_.emplace_back(std::move(key), std::move(value));
  } else {
    entries_[place->second].second = std::move(value);
  }
}

const Value* Metadata::find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

Result<std::optional<std::string_view>> Metadata::find_string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<std::string_view>();
  if (const auto* text = std::get_if<std::string>(value)) {
    return std::optional<std::string_view>(*text);
  }
  return wrong_type(key, *value, "a string");
}

Result<std::optional<uint64_t>> Metadata::find_uint(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<uint64_t>();
  QUERN_ASSIGN_OR_RETURN(const uint64_t number,
                         to_integer<uint64_t>(key, *value, "an unsigned integer"));
  return std::optional<uint64_t>(number);
}

Result<std::optional<int64_t>> Metadata::find_int(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<int64_t>();
  QUERN_ASSIGN_OR_RETURN(const int64_t number, to_integer<int64_t>(key, *value, "an integer"));
  return std::optional<int64_t>(number);
}

Result<std::optional<double>> Metadata::find_float(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<double>();
  if (const auto* single = std::get_if<float>(value)) return std::optional<double>(*single);
  if (const auto* wide = std::get_if<double>(value)) return std::optional<double>(*wide);
  return wrong_type(key, *value, "a float");
}

Result<std::optional<bool>> Metadata::find_bool(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  if (const auto* flag = std::get_if<bool>(value)) return std::optional<bool>(*flag);
  return wrong_type(key, *value, "a bool");
}

Result<std::string_view> Metadata::get_string(std::string_view key) const {
  return require(find_string(key), key, "a string");
}

Result<uint64_t> Metadata::get_uint(std::string_view key) const {
  return require(find_uint(key), key, "an unsigned integer");
}

Result<double> Metadata::get_float(std::string_view key) const {
  return require(find_float(key), key, "a float");
}

Result<bool> Metadata::get_bool(std::string_view key) const {
  return require(find_bool(key), key, "a bool");
}

template <typename T>
Result<const std::vector<T>*> Metadata::find_array(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return static_cast<const std::vector<T>*>(nullptr);
  if (const auto* array = std::get_if<std::vector<T>>(value)) return array;
  return wrong_type(key, *value, "an array of " + std::string(element_name<T>()));
}

#define QUERN_ARRAY_GETTER(T) \
  template Result<const std::vector<T>*> Metadata::find_array<T>(std::string_view) const;
QUERN_ARRAY_GETTER(uint8_t)
QUERN_ARRAY_GETTER(int8_t)
QUERN_ARRAY_GETTER(uint16_t)
QUERN_ARRAY_GETTER(int16_t)
QUERN_ARRAY_GETTER(uint32_t)
QUERN_ARRAY_GETTER(int32_t)
QUERN_ARRAY_GETTER(uint64_t)
QUERN_ARRAY_GETTER(int64_t)
QUERN_ARRAY_GETTER(float)
QUERN_ARRAY_GETTER(double)
QUERN_ARRAY_GETTER(std::string)
#undef QUERN_ARRAY_GETTER

}  // namespace quern::gguf
