// JSON from outside, parsed behind bounds, and JSON written safely.
//
// quern::Json keeps the order of keys. Nothing here throws. A document that parse_json accepted is
// at most JsonLimits::max_depth deep, so the recursive copy and dump of the library are safe on it;
// a value built in code is the builder's responsibility. Narrowing numbers to a field's range is
// left to whoever knows the field.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "config/base/result.h"

namespace quern {

using Json = nlohmann::ordered_json;

// Bounds on one document. Exceeding any is kInvalidInput.
struct JsonLimits {
  size_t max_bytes = size_t{32} << 20;
  size_t max_depth = 64;           // open arrays and objects at once
  size_t max_nodes = 1'000'000;    // values of any kind, containers included
  size_t max_object_keys = 65536;  // in one object; look-up in an ordered object is linear
  size_t max_key_bytes = 65536;
};

// Parses RFC 8259 text: valid UTF-8 (no lone surrogates in escapes either), no comments, no
// trailing commas, no NaN, numbers that fit a double, each key once per object. A leading UTF-8
// byte order mark is ignored. Integers beyond 64 bits become doubles. The error names the byte
// offset.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

// Writes a value; invalid UTF-8 becomes U+FFFD, NaN and infinities become null. `indent` < 0: one
// line without spaces. Precondition: the value is no deeper than a few hundred levels.
std::string dump_json(const Json& value, int indent = -1);

}  // namespace quern
