// Python's string formatting: "%" with values, str.format, and number to text.
#pragma once

#include <string>
#include <string_view>

#include "models/chat/template_runtime.h"

namespace quern::chat {

// format % value. Marks of the format and of inserted strings survive.
Value percent_format(Runtime& runtime, const Text& format, const Value& value);
// format.format(*positional, **named). Fields are "{}", "{0}", "{name}" with attributes or items
// and conversions; fails on what it does not know.
Value brace_format(Runtime& runtime, const Text& format, const Arguments& arguments);
// datetime.strftime for a UTC time. Fails on unknown conversions.
std::string format_time(std::string_view format, int64_t unix_s);

}  // namespace quern::chat
