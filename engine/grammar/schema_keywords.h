// Every keyword of JSON Schema that is known here: the single list.
#pragma once

#include <cstdint>
#include <string_view>

#include "config/base/json.h"
#include "config/base/result.h"

namespace quern::grammar {

// A place in the schema. `path` is a JSON pointer with "#" before it.
struct SchemaRef {
  const Json* schema = nullptr;
  std::string path;
};

enum class KeywordUse : uint8_t {
  kAnnotation,  // says nothing about which instances are valid
  kApplied,
  kRefused,
};

struct Keyword {
  std::string_view name;
  KeywordUse use;
  std::string_view type = "";    // kApplied: the only type it speaks of, or empty
  std::string_view advice = "";  // kRefused: what to do instead
};

// Null for an unknown keyword. Names that begin with "x-" are annotations.
const Keyword* find_keyword(std::string_view name);

// Whether every keyword of the object is known and not refused.
Status check_keywords(const SchemaRef& at);

// "additionalProperties at #/properties/a".
Error schema_error(ErrorKind kind, const SchemaRef& at, std::string_view keyword,
                   std::string_view problem);

// A keyword's value, or null.
const Json* find_in(const Json& schema, std::string_view keyword);

// A JSON pointer one step further down.
std::string pointer_below(const std::string& path, std::string_view key);

// The count that `keyword` gives, or `otherwise`. Error unless it is a whole number from 0.
Result<uint32_t> read_count(const SchemaRef& at, std::string_view keyword, uint32_t otherwise);

}  // namespace quern::grammar
