#include "models/convert/huggingface/json_fields.h"

#include "config/base/mapped_file.h"
#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

// The largest tokenizer.json in use has some 34 MB, 0.5 M merges and 0.26 M tokens.
constexpr uint64_t kJsonBytes = 256u << 20;
constexpr uint64_t kJsonValues = 16'000'000;

Error wrong_type(std::string_view key, std::string_view expected) {
  return Error(ErrorKind::kInvalidInput, "'" + std::string(key) + "' is not " +
                                             std::string(expected) +
                                             "; the file is damaged, get it again");
}

}  // namespace

const Json* find_field(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::optional<uint64_t>> find_uint(const Json& object, std::string_view key) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return std::optional<uint64_t>();
  if (!value->is_number_unsigned()) return wrong_type(key, "a whole number");
  return std::optional(value->get<uint64_t>());
}

Result<std::optional<double>> find_number(const Json& object, std::string_view key) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) return wrong_type(key, "a number");
  return std::optional(value->get<double>());
}

Result<std::optional<bool>> find_bool(const Json& object, std::string_view key) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return wrong_type(key, "true or false");
  return std::optional(value->get<bool>());
}

Result<std::optional<std::string>> find_text(const Json& object, std::string_view key) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong_type(key, "a text");
  return std::optional(value->get<std::string>());
}

Result<std::optional<std::string>> read_text_file(const std::filesystem::path& path,
                                                  uint64_t most_bytes) {
  const auto file = MappedFile::open(path);
  if (!file.ok()) {
    if (file.error().kind() == ErrorKind::kNotFound) return std::optional<std::string>();
    return file.error();
  }
  const auto bytes = (*file)->bytes();
  const std::string shown = gguf::printable(path.string(), 4096);
  if (bytes.size() > most_bytes) {
    return Error(ErrorKind::kInvalidInput, shown + ": is " + std::to_string(bytes.size()) +
                                               " bytes long; expected at most " +
                                               std::to_string(most_bytes >> 20) + " MiB");
  }
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if ((*file)->poisoned()) {
    return went_away(shown);
  }
  return std::optional(std::move(text));
}

Result<std::optional<Json>> read_json_file(const std::filesystem::path& path) {
  QUERN_ASSIGN_OR_RETURN(const auto text, read_text_file(path, kJsonBytes));
  if (!text) return std::optional<Json>();
  JsonLimits limits;
  limits.max_bytes = kJsonBytes;
  limits.max_nodes = kJsonValues;
  limits.max_object_keys = 2'000'000;
  auto parsed = parse_json(*text, limits);
  if (!parsed.ok()) return parsed.error().with_context(gguf::printable(path.string(), 4096));
  return std::optional(std::move(*parsed));
}

}  // namespace quern::huggingface
