// The demo models that are part of the binary, so that the first command needs no download.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "models/gguf/reader.h"

namespace quern::loader {

struct EmbeddedModel {
  std::string_view name;             // what -m calls it
  std::span<const std::byte> bytes;  // a GGUF file, 64-byte aligned, for the life of the process
};

// Those whose files were in models/demo when the program was built; the first is the default.
std::span<const EmbeddedModel> embedded_models();

// The bytes of the one of that name; empty when there is none.
std::span<const std::byte> embedded_model(std::string_view name);

// The file at `path`. An embedded model instead where `path` is empty, which means the default, and
// where it is the name of one and no file is called so. Errors: those of GgufFile::open.
Result<std::shared_ptr<const gguf::GgufFile>> open_file_or_embedded(const std::string& path);

}  // namespace quern::loader
