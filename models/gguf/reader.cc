// Opening: map, parse, join shards, and make sure that nothing changed on the way.
#include "models/gguf/reader.h"

#include <algorithm>
#include <utility>

#include "config/base/mapped_file.h"
#include "models/gguf/name_rules.h"
#include "models/gguf/parser.h"
#include "models/gguf/split_files.h"

namespace quern::gguf {

namespace {

// Parses the mapped file and joins the other shards when it is the first of several.
Result<std::shared_ptr<GgufFile>> parse_model(const std::filesystem::path& path,
                                              const std::shared_ptr<const MappedFile>& mapping) {
  QUERN_ASSIGN_OR_RETURN(auto file, GgufParser::parse(mapping->bytes(), path.string(), mapping));
  const auto count = shard_count(file->metadata());
  if (!count.ok()) return count.error().with_context(printable(file->label(), 4096));
  if (*count > 1) QUERN_RETURN_IF_ERROR(join_shards(*file, path, *count));
  return file;
}

}  // namespace

Result<std::shared_ptr<const GgufFile>> GgufFile::open(const std::filesystem::path& path) {
  QUERN_ASSIGN_OR_RETURN(const auto mapping, MappedFile::open(path));
  auto file = parse_model(path, mapping);
  // Asked first: zeros in place of lost bytes would be reported as corruption.
  if (mapping->poisoned() || (file.ok() && (*file)->poisoned())) {
    return went_away(printable(path.string(), 4096));
  }
  if (!file.ok()) return file.error();
  return std::shared_ptr<const GgufFile>(std::move(file).value());
}

Result<std::shared_ptr<const GgufFile>> GgufFile::from_bytes(std::span<const std::byte> bytes,
                                                             std::string_view label) {
  QUERN_ASSIGN_OR_RETURN(auto file, GgufParser::parse(bytes, std::string(label), nullptr));
  const auto count = shard_count(file->metadata());
  if (!count.ok()) return count.error().with_context(printable(label));
  if (*count > 1) {
    return Error(ErrorKind::kUnsupported, printable(label) + ": is one of " +
                                              std::to_string(*count) +
                                              " parts of a model: open it by its path");
  }
  file->bytes_ = bytes;
  return std::shared_ptr<const GgufFile>(std::move(file));
}

std::vector<std::span<const std::byte>> GgufFile::contents() const {
  std::vector<std::span<const std::byte>> out;
  for (const auto& mapping : mappings_) out.push_back(mapping->bytes());
  if (out.empty()) out.push_back(bytes_);
  return out;
}

const TensorInfo* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

bool GgufFile::poisoned() const {
  return std::any_of(mappings_.begin(), mappings_.end(),
                     [](const auto& mapping) { return mapping->poisoned(); });
}

bool GgufFile::changed_on_disk() const {
  return std::any_of(mappings_.begin(), mappings_.end(),
                     [](const auto& mapping) { return mapping->changed_on_disk(); });
}

}  // namespace quern::gguf
