// Which keys and tensor names are acceptable, and how text from a file is shown in a message.
//
// Names end up in logs, error bodies and terminals; control characters and broken UTF-8 would let a
// file write there. Values are not restricted, so messages must show them through printable().
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace quern::gguf {

// What is wrong with a key or tensor name ("it contains a control character"), or nothing.
std::optional<std::string_view> name_fault(std::string_view name);

// The same for tensor names, which also must not look like a path: no name is used as one here, but
// tools that export tensors do that.
std::optional<std::string_view> tensor_name_fault(std::string_view name);

// Whether the text is well-formed UTF-8 (no overlong forms, surrogates or values above U+10FFFF).
bool is_valid_utf8(std::string_view text);

// The text with everything but printable ASCII and well-formed UTF-8 written as \xNN, cut to
// about `max_bytes` with "...".
std::string printable(std::string_view text, size_t max_bytes = 80);

}  // namespace quern::gguf
