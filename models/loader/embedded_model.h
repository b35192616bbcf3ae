// The demo model that is part of the binary, so that the first command needs no download.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace quern::loader {

// The bytes of models/demo/stories260K.gguf, 64-byte aligned, for the life of the process; empty
// when the build had no such file. Open them with gguf::GgufFile::from_bytes.
std::span<const std::byte> embedded_model();

// The name under which it is offered and that messages use.
inline constexpr std::string_view kEmbeddedModelName = "stories260k";

}  // namespace quern::loader
