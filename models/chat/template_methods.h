// Methods of str, list, tuple and dict that templates may call. What changes a value in place is
// absent, as in Jinja's immutable sandbox.
#pragma once

#include <string_view>

#include "models/chat/template_runtime.h"

namespace quern::chat {

struct MethodRow {
  std::string_view name;
  Value (*apply)(Runtime& runtime, const Value& self, const Arguments& arguments);
};

// The method of the value's type with that name, or null.
const MethodRow* find_method(const Value& value, std::string_view name);
// The method as a value that can be called later.
Value bound_method(Runtime& runtime, const Value& self, const MethodRow& method);

}  // namespace quern::chat
