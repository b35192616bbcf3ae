// One place maps a kind code to a C++ type (visit_kind); scalars and arrays both go through it.
#include "models/gguf/value_reader.h"

#include <utility>

#include "models/gguf/gguf_format.h"

namespace quern::gguf {
namespace {

template <typename T>
struct Tag {
  using Type = T;
};

// Calls `use(Tag<T>)` with the C++ type of `kind`, or `otherwise()` for arrays and unknown codes.
template <typename Use, typename Otherwise>
Result<Value> visit_kind(uint32_t kind, Use use, Otherwise otherwise) {
  switch (static_cast<ValueKind>(kind)) {
    case ValueKind::kUint8:
      return use(Tag<uint8_t>{});
    case ValueKind::kInt8:
      return use(Tag<int8_t>{});
    case ValueKind::kUint16:
      return use(Tag<uint16_t>{});
    case ValueKind::kInt16:
      return use(Tag<int16_t>{});
    case ValueKind::kUint32:
      return use(Tag<uint32_t>{});
    case ValueKind::kInt32:
      return use(Tag<int32_t>{});
    case ValueKind::kFloat32:
      return use(Tag<float>{});
    case ValueKind::kBool:
      return use(Tag<bool>{});
    case ValueKind::kString:
      return use(Tag<std::string>{});
    case ValueKind::kUint64:
      return use(Tag<uint64_t>{});
    case ValueKind::kInt64:
      return use(Tag<int64_t>{});
    case ValueKind::kFloat64:
      return use(Tag<double>{});
    case ValueKind::kArray:
      break;
  }
  return otherwise();
}

Error unknown_kind(std::string_view field, uint64_t offset, uint32_t kind) {
  return corrupt_error(field, offset,
                       "code " + std::to_string(kind) + " is unknown, expected 0 to 12");
}

Error bad_bool(uint64_t offset, uint8_t found) {
  return corrupt_error("bool", offset, "is " + std::to_string(found) + ", expected 0 or 1");
}

Result<Value> read_scalar(Cursor& cursor, Tag<bool>) {
  const uint64_t offset = cursor.offset();
  QUERN_ASSIGN_OR_RETURN(const uint8_t byte, cursor.read<uint8_t>("bool"));
  if (byte > 1) return bad_bool(offset, byte);
  return Value(byte == 1);
}

Result<Value> read_scalar(Cursor& cursor, Tag<std::string>) {
  std::string text;
  QUERN_RETURN_IF_ERROR(cursor.read_string(text, "string", Limits::kStringBytes));
  return Value(std::move(text));
}

template <typename T>
Result<Value> read_scalar(Cursor& cursor, Tag<T>) {
  QUERN_ASSIGN_OR_RETURN(const T number, cursor.read<T>("value"));
  return Value(std::in_place_type<T>, number);
}

Result<Value> read_elements(Cursor& cursor, uint64_t n, Tag<bool>) {
  const uint64_t offset = cursor.offset();
  BoolArray array;
  QUERN_RETURN_IF_ERROR(cursor.read_numbers(array.values, n, "array of bool"));
  for (size_t i = 0; i < array.values.size(); ++i) {
    if (array.values[i] > 1) return bad_bool(offset + i, array.values[i]);
  }
  return Value(std::move(array));
}

Result<Value> read_elements(Cursor& cursor, uint64_t n, Tag<std::string>) {
  if (n > cursor.remaining() / sizeof(uint64_t)) {
    return truncated_error("array of string", cursor.offset(),
                           "its " + std::to_string(n) + " strings cannot fit the " +
                               std::to_string(cursor.remaining()) + " bytes that remain");
  }
  std::vector<std::string> array(n);
  for (std::string& text : array) {
    QUERN_RETURN_IF_ERROR(cursor.read_string(text, "string in array", Limits::kStringBytes));
  }
  return Value(std::move(array));
}

template <typename T>
Result<Value> read_elements(Cursor& cursor, uint64_t n, Tag<T>) {
  std::vector<T> array;
  QUERN_RETURN_IF_ERROR(cursor.read_numbers(array, n, "array"));
  return Value(std::move(array));
}

Result<Value> read_array(Cursor& cursor) {
  const uint64_t kind_offset = cursor.offset();
  QUERN_ASSIGN_OR_RETURN(const uint32_t kind, cursor.read<uint32_t>("element kind"));
  const uint64_t count_offset = cursor.offset();
  QUERN_ASSIGN_OR_RETURN(const uint64_t n, cursor.read<uint64_t>("array length"));
  if (n > Limits::kArrayValues) {
    return corrupt_error("array length", count_offset,
                         std::to_string(n) + " exceeds the limit of " +
                             std::to_string(Limits::kArrayValues) + " values");
  }
  return visit_kind(
      kind, [&](auto tag) { return read_elements(cursor, n, tag); },
      [&]() -> Result<Value> {
        if (kind == static_cast<uint32_t>(ValueKind::kArray)) {
          return unsupported_error("element kind", kind_offset, "arrays of arrays are not allowed");
        }
        return unknown_kind("element kind", kind_offset, kind);
      });
}

}  // namespace

Result<Value> read_value(Cursor& cursor) {
  const uint64_t kind_offset = cursor.offset();
  QUERN_ASSIGN_OR_RETURN(const uint32_t kind, cursor.read<uint32_t>("value kind"));
  if (kind == static_cast<uint32_t>(ValueKind::kArray)) return read_array(cursor);
  return visit_kind(
      kind, [&](auto tag) { return read_scalar(cursor, tag); },
      [&]() -> Result<Value> { return unknown_kind("value kind", kind_offset, kind); });
}

}  // namespace quern::gguf
