// Typed look-up in the JSON files of a model folder. An absent key and null are nothing; a value of
// another type is an error that names the key and what was expected.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/json.h"
#include "config/base/result.h"

namespace quern::huggingface {

// Null when `object` is no object, or the key is absent or null.
const Json* find_field(const Json& object, std::string_view key);

Result<std::optional<uint64_t>> find_uint(const Json& object, std::string_view key);
Result<std::optional<double>> find_number(const Json& object, std::string_view key);
Result<std::optional<bool>> find_bool(const Json& object, std::string_view key);
Result<std::optional<std::string>> find_text(const Json& object, std::string_view key);

// The contents of a file of at most `most_bytes`, whole MiB; nothing when there is no such file.
Result<std::optional<std::string>> read_text_file(const std::filesystem::path& path,
                                                  uint64_t most_bytes);
// A JSON file of the folder; nothing when there is none. Errors name the file.
Result<std::optional<Json>> read_json_file(const std::filesystem::path& path);

}  // namespace quern::huggingface
