// Values of "format" that can be promised, as patterns of the text: the single list.
#pragma once

#include <string_view>

namespace quern::grammar {

struct StringFormat {
  std::string_view name;
  std::string_view pattern;  // anchored
};

// Null for a format that is not known. Some are narrower than their standard (each says so), never
// wider.
const StringFormat* find_format(std::string_view name);
// "date, time, ...", for error messages.
std::string_view format_names();

}  // namespace quern::grammar
