// String operations that methods and filters share. Marks survive all of them.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "models/chat/template_runtime.h"
#include "models/chat/unicode.h"

namespace quern::chat {

enum class StripSides { kBoth, kLeft, kRight };
// str.strip and its kin: removes code points in `characters`, or white space if it is null.
Value strip_text(Runtime& runtime, const Text& text, const Text* characters, StripSides sides);
// str.replace; `limit` < 0: all.
Value replace_text(Runtime& runtime, const Text& text, const Text& from, const Text& to,
                   int64_t limit);
// str.split and str.rsplit; a null separator splits at runs of white space.
Value split_text(Runtime& runtime, const Text& text, const Text* separator, int64_t limit,
                 bool from_right);
std::vector<Value> split_lines(Runtime& runtime, const Text& text, bool keep_ends);
Value part_of(Runtime& runtime, const Text& text, size_t begin, size_t end);
Value map_case(Runtime& runtime, const Text& text, CaseMap map);
// First character upper, rest lower.
Value capitalize(Runtime& runtime, const Text& text);
// Joins the str() of the items. Marks of separator and items survive.
Value join_items(Runtime& runtime, const Text& separator, const std::vector<Value>& items);
// Pads to `width` code points with `left_share` of the padding before: 0, 1 or 2 halves.
Value pad_text(Runtime& runtime, const Text& text, int64_t width, const Text* fill,
               int left_halves);
// Whether all cased characters are upper (lower) and one exists.
bool all_upper(std::string_view text);
bool all_lower(std::string_view text);

}  // namespace quern::chat
