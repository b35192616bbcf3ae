// One check per type; all endpoints go through it.
#include "server/api/fields.h"

#include <algorithm>
#include <cmath>

namespace quern::api {
namespace {

constexpr double kExactIntegers = 9007199254740992.0;  // 2^53

std::string number_text(double value) {
  if (std::abs(value) < 1e15 && value == std::floor(value)) {
    return std::to_string(static_cast<int64_t>(value));
  }
  return dump_json(Json(value));
}

std::string_view type_text(FieldType type) {
  switch (type) {
    case FieldType::kAny:
      return "any value";
    case FieldType::kBool:
      return "true or false";
    case FieldType::kInteger:
    case FieldType::kSeed:
      return "an integer";
    case FieldType::kNumber:
      return "a number";
    case FieldType::kString:
      return "a string";
    case FieldType::kArray:
      return "an array";
    case FieldType::kObject:
      return "an object";
    case FieldType::kStringOrArray:
      return "a string or an array of strings";
  }
  return "another type";
}

bool type_fits(const Json& value, FieldType type) {
  int64_t whole = 0;
  switch (type) {
    case FieldType::kAny:
      return true;
    case FieldType::kBool:
      return value.is_boolean();
    case FieldType::kInteger:
      return whole_number(value, whole);
    case FieldType::kSeed:
      return value.is_number_integer() || whole_number(value, whole);
    case FieldType::kNumber:
      return value.is_number();
    case FieldType::kString:
      return value.is_string();
    case FieldType::kArray:
      return value.is_array();
    case FieldType::kObject:
      return value.is_object();
    case FieldType::kStringOrArray:
      return value.is_string() || value.is_array();
  }
  return false;
}

bool is_neutral(const Json& value, double neutral_number) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) {
    const double number = value.get<double>();
    return number == 0 || number == neutral_number;
  }
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.empty();
}

std::string range_text(const FieldSpec& spec) {
  if (std::isinf(spec.max)) return "at least " + number_text(spec.min);
  if (std::isinf(spec.min)) return "at most " + number_text(spec.max);
  return "from " + number_text(spec.min) + " to " + number_text(spec.max);
}

MaybeError check_one(const Json& value, const FieldSpec& spec, std::string_view prefix) {
  const std::string path = std::string(prefix) + std::string(spec.name);
  if (spec.use == FieldUse::kRefuse) {
    if (is_neutral(value, spec.min)) return std::nullopt;
    return field_error(path, "'" + path + "' is not supported; " + std::string(spec.note) + ".");
  }
  if (!type_fits(value, spec.type)) {
    return field_error(path, "'" + path + "' must be " + std::string(type_text(spec.type)) + ".");
  }
  const bool ranged_type = spec.type == FieldType::kInteger || spec.type == FieldType::kNumber;
  if (ranged_type) {
    const double number = value.get<double>();
    if (!(number >= spec.min && number <= spec.max)) {
      return field_error(path, "'" + path + "' must be " + std::string(type_text(spec.type)) + " " +
                                   range_text(spec) + ".");
    }
  }
  return std::nullopt;
}

const FieldSpec* find_spec(FieldTables tables, std::string_view name) {
  for (const std::span<const FieldSpec> table : tables) {
    for (const FieldSpec& spec : table) {
      if (spec.name == name) return &spec;
    }
  }
  return nullptr;
}

}  // namespace

bool whole_number(const Json& value, int64_t& out) {
  if (value.is_number_unsigned()) {
    const auto wide = value.get<uint64_t>();
    if (wide > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return false;
    out = static_cast<int64_t>(wide);
    return true;
  }
  if (value.is_number_integer()) {
    out = value.get<int64_t>();
    return true;
  }
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  if (!(std::abs(number) <= kExactIntegers) || number != std::floor(number)) return false;
  out = static_cast<int64_t>(number);
  return true;
}

MaybeError check_fields(const Json& object, FieldTables tables, std::string_view prefix,
                        std::vector<std::string>& unused) {
  for (const auto& [name, value] : object.items()) {
    if (value.is_null()) continue;
    const FieldSpec* spec = find_spec(tables, name);
    if (spec == nullptr || spec->use == FieldUse::kReport) {
      unused.push_back(std::string(prefix) + name);
      continue;
    }
    if (MaybeError error = check_one(value, *spec, prefix)) return error;
  }
  return std::nullopt;
}

const Json* find_field(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool read_bool(const Json& object, std::string_view name, bool otherwise) {
  const Json* value = find_field(object, name);
  return value != nullptr && value->is_boolean() ? value->get<bool>() : otherwise;
}

int64_t read_integer(const Json& object, std::string_view name, int64_t otherwise) {
  const Json* value = find_field(object, name);
  int64_t out = 0;
  return value != nullptr && whole_number(*value, out) ? out : otherwise;
}

double read_number(const Json& object, std::string_view name, double otherwise) {
  const Json* value = find_field(object, name);
  return value != nullptr && value->is_number() ? value->get<double>() : otherwise;
}

std::string read_string(const Json& object, std::string_view name, std::string_view otherwise) {
  const Json* value = find_field(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>()
                                                : std::string(otherwise);
}

std::string joined_names(const std::vector<std::string>& names) {
  constexpr size_t kMaxBytes = 512;
  std::string out;
  for (const std::string& name : names) {
    std::string safe = name.substr(0, 64);
    std::replace_if(
        safe.begin(), safe.end(), [](char c) { return c <= 0x20 || c > 0x7E || c == ','; }, '?');
    if (out.size() + safe.size() > kMaxBytes) return out + ", ...";
    out.append(out.empty() ? "" : ", ").append(safe);
  }
  return out;
}

}  // namespace quern::api
