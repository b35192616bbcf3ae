// Recognises by their first bytes the files that people pass by mistake, to name them and say what
// to do.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace quern::gguf {

// A sentence part such as "this is a safetensors file: convert it to GGUF first", or nothing.
std::optional<std::string_view> foreign_file(std::span<const std::byte> bytes);

}  // namespace quern::gguf
