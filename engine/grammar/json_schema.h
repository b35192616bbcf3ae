// JSON Schema to the intermediate form.
//
// Sound, not complete: every text of the grammar is an instance that validates; of several ways to
// write an instance some are left out (order of properties is the schema's, keys are spelled one
// way, white space is bounded, properties that the schema does not name appear only if it says so).
// Keywords that cannot be honoured are refused by name and JSON pointer, and so is every unknown
// one; only annotations are skipped. References are local; nothing is fetched.
// Source: JSON Schema 2020-12 (core, validation); array form of "items" as in 2019-09 and before.
#pragma once

#include "config/base/json.h"
#include "config/base/result.h"
#include "engine/grammar/grammar.h"

namespace quern::grammar {

// Adds the rules for `schema` to an empty grammar. Errors (kInvalidInput: wrong or contradictory;
// kUnsupported: cannot be honoured) name keyword and JSON pointer.
// Precondition: `schema` came from parse_json, so its depth is bounded.
Status parse_json_schema(const Json& schema, Grammar& into);

// Any JSON object.
Status any_json_object(Grammar& into);

}  // namespace quern::grammar
