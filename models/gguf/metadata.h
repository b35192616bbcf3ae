// The key-value part of a GGUF file, copied out of the mapping once and read only through typed
// getters.
//
// A getter checks the element type as well as the name; there is no raw pointer access. Absent is
// different from wrong: an optional getter returns "nothing" only for an absent key and an error
// for a present key of another type. Source: GGUF specification (ggml-org/ggml docs/gguf.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "config/base/result.h"

namespace quern::gguf {

// Value kinds with the numbers they have in the file.
enum class ValueKind : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

std::string_view value_kind_name(ValueKind kind);

// One value. Arrays keep their element type: a uint32 array is std::vector<uint32_t>; bool arrays
// are std::vector<uint8_t> wrapped in BoolArray.
struct BoolArray {
  std::vector<uint8_t> values;
  bool operator==(const BoolArray&) const = default;
};
using Value =
    std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string,
                 uint64_t, int64_t, double, std::vector<uint8_t>, std::vector<int8_t>,
                 std::vector<uint16_t>, std::vector<int16_t>, std::vector<uint32_t>,
                 std::vector<int32_t>, std::vector<float>, BoolArray, std::vector<std::string>,
                 std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;

// Kind of a scalar, kArray for arrays.
ValueKind value_kind(const Value& value);
// Kind of an array's elements; a scalar's own kind.
ValueKind element_kind(const Value& value);

class Metadata {
 public:
  // Makes room for `n_pairs`; the caller has bounded it.
  void reserve(size_t n_pairs);
  // Appends a pair; an error when the key is already there.
  Status add(std::string key, Value value);
  // Replaces or appends.
  void set(std::string key, Value value);

  bool contains(std::string_view key) const { return find(key) != nullptr; }
  const Value* find(std::string_view key) const;  // null when absent
  // All pairs in file order.
  const std::vector<std::pair<std::string, Value>>& entries() const { return entries_; }

  // Required values; integer getters take any integer kind whose value fits, float getters any
  // float kind. Errors name the key, what is there, and what was expected.
  Result<std::string_view> get_string(std::string_view key) const;
  Result<uint64_t> get_uint(std::string_view key) const;
  Result<double> get_float(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;

  // Absent: std::nullopt. Present with another type: an error.
  Result<std::optional<std::string_view>> find_string(std::string_view key) const;
  Result<std::optional<uint64_t>> find_uint(std::string_view key) const;
  Result<std::optional<int64_t>> find_int(std::string_view key) const;
  Result<std::optional<double>> find_float(std::string_view key) const;
  Result<std::optional<bool>> find_bool(std::string_view key) const;
  // An array of exactly this element type, or null when absent.
  // T is one of: std::string, float, int32_t, uint32_t, uint8_t, int8_t, ... (as in Value).
  template <typename T>
  Result<const std::vector<T>*> find_array(std::string_view key) const;

 private:
  std::vector<std::pair<std::string, Value>> entries_;
  // Looked up by std::string_view without making a string.
  struct KeyHash {
    using is_transparent = void;
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>{}(key); }
  };
  std::unordered_map<std::string, size_t, KeyHash, std::equal_to<>> index_;
};

}  // namespace quern::gguf
