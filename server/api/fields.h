// Tables of request fields, and the check of a JSON object against them.
//
// Each endpoint has one table: name, type, range, and whether the field is used, ignored or
// refused. After check_fields every present field has its declared type and range, so the readers
// below cannot fail. An explicit null counts as absent. Nothing that would change the answer is
// ignored: such fields are refused by name unless their value is neutral.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/json.h"
#include "server/api/api_error.h"

namespace quern::api {

enum class FieldType : uint8_t {
  kAny,
  kBool,
  kInteger,  // whole numbers, also when written as 16.0
  kNumber,
  kSeed,  // any 64-bit integer
  kString,
  kArray,
  kObject,
  kStringOrArray,
};

enum class FieldUse : uint8_t {
  kRead,
  kIgnore,  // accepted for compatibility, without effect on the answer; not reported
  kReport,  // accepted without effect, and named in the x-quern-ignored header
  kRefuse,  // 400 unless neutral: null, false, 0, "", [], {} or the number `min`
};

struct FieldSpec {
  std::string_view name;
  FieldType type = FieldType::kAny;
  FieldUse use = FieldUse::kRead;
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::string_view note = "";  // kRefuse: what to do instead, as the end of a sentence
};

constexpr FieldSpec read_field(std::string_view name, FieldType type) { return {name, type}; }
constexpr FieldSpec ranged(std::string_view name, FieldType type, double min, double max) {
  return {name, type, FieldUse::kRead, min, max};
}
constexpr FieldSpec ignored(std::string_view name) {
  return {name, FieldType::kAny, FieldUse::kIgnore};
}
constexpr FieldSpec reported(std::string_view name) {
  return {name, FieldType::kAny, FieldUse::kReport};
}
constexpr FieldSpec refused(std::string_view name, double neutral = 0,
                            std::string_view note = "leave it out") {
  return {name, FieldType::kAny, FieldUse::kRefuse, neutral, neutral, note};
}

using FieldTables = std::initializer_list<std::span<const FieldSpec>>;

// Checks every member of `object` that a table knows; names of unknown and of reported fields are
// appended to `unused`. `prefix` stands before names in errors ("options.").
MaybeError check_fields(const Json& object, FieldTables tables, std::string_view prefix,
                        std::vector<std::string>& unused);

// The member, or null when it is absent or null.
const Json* find_field(const Json& object, std::string_view name);
bool read_bool(const Json& object, std::string_view name, bool otherwise);
int64_t read_integer(const Json& object, std::string_view name, int64_t otherwise);
double read_number(const Json& object, std::string_view name, double otherwise);
std::string read_string(const Json& object, std::string_view name, std::string_view otherwise = "");

// Whether `value` is a whole number, and which.
bool whole_number(const Json& value, int64_t& out);

// The value of x-quern-ignored: names joined by ", ", bounded and safe for a header.
std::string joined_names(const std::vector<std::string>& names);

}  // namespace quern::api
