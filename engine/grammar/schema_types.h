// One type of a flattened schema as grammar: what its keywords say of numbers and strings.
//
// Objects and arrays are in json_schema.cc, since they refer to further schemas.
#pragma once

#include "config/base/result.h"
#include "engine/grammar/json_text.h"
#include "engine/grammar/schema_keywords.h"

namespace quern::grammar {

// minLength, maxLength, pattern, format.
Result<ExprId> string_type(const SchemaRef& at, JsonText& json);
// minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf. `integer`: the type is.
Result<ExprId> number_type(const SchemaRef& at, bool integer, JsonText& json);

}  // namespace quern::grammar
