// SHA-256 of a model file's whole contents, which names what was computed with it.
//
// Reading a large file takes a while, so the result is noted beside the stored pages under the
// file's path, size and times; a file that was touched since is read again.
#pragma once

#include <filesystem>
#include <optional>

#include "config/base/digest.h"
#include "models/gguf/reader.h"

namespace quern::engine {

// Nothing when the file fails while it is read or was changed since it was opened.
std::optional<Digest> model_digest(const gguf::GgufFile& file,
                                   const std::filesystem::path& directory);

}  // namespace quern::engine
