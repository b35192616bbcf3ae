// JSON documents to template values and back.
#pragma once

#include "config/base/json.h"
#include "models/chat/template_arguments.h"
#include "models/chat/template_runtime.h"

namespace quern::chat {

// Precondition: the document is at most as deep as TemplateLimits::kValueDepth allows, or the
// runtime fails. Strings are marked as coming from the request if `from_user`.
Value from_json(Runtime& runtime, const Json& json, bool from_user);
// Bytes of all strings and keys, and a few for each other value.
uint64_t json_bytes(const Json& json);

struct JsonStyle {
  bool ascii = false;
  int indent = -1;          // spaces per level; < 0: one line
  std::string indent_text;  // instead of spaces, if not empty
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
// Python's json.dumps. Fails on what JSON cannot say.
Value to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace quern::chat
