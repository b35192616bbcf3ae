// The filters of "x | name(...)". Semantics: jinja2.filters, with transformers' tojson.
#pragma once

#include <span>
#include <string_view>

#include "models/chat/template_runtime.h"

namespace quern::chat {

struct FilterRow {
  std::string_view name;
  Value (*apply)(Runtime& runtime, const Value& input, const Arguments& arguments);
};

// The filter with that name, or null.
const FilterRow* find_filter(std::string_view name);

// The rows of each source file; find_filter searches both.
std::span<const FilterRow> text_filters();
std::span<const FilterRow> sequence_filters();

}  // namespace quern::chat
