// Every shard must say that it is the number its name claims, of the same count, and all tensors
// together must be as many as the first shard promises; so missing, swapped, repeated and foreign
// shards are told apart.
#include "models/gguf/split_files.h"

#include <string>
#include <utility>

#include "models/gguf/gguf_format.h"
#include "models/gguf/name_rules.h"
#include "models/gguf/parser.h"

namespace quern::gguf {
namespace {

constexpr std::string_view kTogether = ": download all parts of the model into one folder";

std::string five_digits(uint64_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < 5) digits.insert(0, 5 - digits.size(), '0');
  return digits;
}

std::string shard_suffix(uint64_t number, uint64_t count) {
  return "-" + five_digits(number + 1) + "-of-" + five_digits(count) + ".gguf";
}

std::string shown(const std::filesystem::path& path) { return printable(path.string(), 4096); }

Error shard_error(const std::filesystem::path& path, const std::string& what) {
  return Error(ErrorKind::kInvalidInput, shown(path) + ": " + what + std::string(kTogether));
}

// Whether `part` is what its name promises and belongs to `model`.
Status check_shard(const GgufFile& model, const Metadata& part, const std::filesystem::path& path,
                   uint64_t number, uint64_t count) {
  const auto part_count = shard_count(part);
  if (!part_count.ok()) return part_count.error().with_context(shown(path));
  const auto part_number = part.get_uint(kSplitNumberKey);
  if (!part_number.ok()) return part_number.error().with_context(shown(path));
  const uint64_t said_count = *part_count;
  const uint64_t said_number = *part_number;
  if (said_count != count || said_number != number) {
    return shard_error(path, "says it is part " + std::to_string(said_number + 1) + " of " +
                                 std::to_string(said_count) + ", expected part " +
                                 std::to_string(number + 1) + " of " + std::to_string(count));
  }
  // The other shards normally hold no such keys; when they do, they must agree.
  for (const std::string_view key : {"general.architecture", "general.name"}) {
    const Value* theirs = part.find(key);
    if (theirs == nullptr) continue;
    const Value* ours = model.metadata().find(key);
    if (ours == nullptr || *ours != *theirs) {
      return shard_error(path, "is a part of another model (its " + std::string(key) + " differs)");
    }
  }
  return ok_status();
}

Status join_one(GgufFile& model, const std::filesystem::path& path, uint64_t number,
                uint64_t count) {
  auto mapping = MappedFile::open(path);
  if (!mapping.ok()) {
    return Error(mapping.error().kind(),
                 "part " + std::to_string(number + 1) + " of " + std::to_string(count) +
                     " is missing: " + mapping.error().message() + std::string(kTogether));
  }
  const auto bytes = (*mapping)->bytes();
  QUERN_ASSIGN_OR_RETURN(auto part, GgufParser::parse(bytes, path.string(), *mapping));
  QUERN_RETURN_IF_ERROR(check_shard(model, part->metadata(), path, number, count));
  if (model.tensors().size() + part->tensors().size() > Limits::kTensors) {
    return shard_error(
        path, "brings the model to more than " + std::to_string(Limits::kTensors) + " tensors");
  }
  GgufParser::absorb(model, std::move(*part), static_cast<int>(number));
  return ok_status();
}

}  // namespace

Result<uint64_t> shard_count(const Metadata& metadata) {
  QUERN_ASSIGN_OR_RETURN(const auto count, metadata.find_uint(kSplitCountKey));
  if (count.value_or(0) <= 1) return uint64_t{1};
  if (*count > Limits::kShards) {
    return Error(ErrorKind::kInvalidInput, "key 'split.count' is " + std::to_string(*count) +
                                               ", expected at most " +
                                               std::to_string(Limits::kShards));
  }
  return *count;
}

std::optional<std::filesystem::path> shard_path(const std::filesystem::path& first, uint64_t number,
                                                uint64_t count) {
  const std::string name = first.filename().string();
  const std::string suffix = shard_suffix(0, count);
  if (!name.ends_with(suffix)) return std::nullopt;
  const std::string stem = name.substr(0, name.size() - suffix.size());
  return first.parent_path() / (stem + shard_suffix(number, count));
}

Status join_shards(GgufFile& model, const std::filesystem::path& first, uint64_t count) {
  const auto own_number = model.metadata().get_uint(kSplitNumberKey);
  if (!own_number.ok()) return own_number.error().with_context(shown(first));
  const uint64_t number = *own_number;
  if (number != 0) {
    return Error(
        ErrorKind::kInvalidInput,
        shown(first) + ": is part " + std::to_string(number + 1) + " of " + std::to_string(count) +
            " of a split model: open the part whose name ends in '" + shard_suffix(0, count) + "'");
  }
  for (uint64_t i = 1; i < count; ++i) {
    const auto path = shard_path(first, i, count);
    if (!path) {
      return Error(ErrorKind::kInvalidInput,
                   shown(first) + ": is the first of " + std::to_string(count) +
                       " parts, so its name must end in '" + shard_suffix(0, count) +
                       "' for the others to be found: give the parts their original names");
    }
    QUERN_RETURN_IF_ERROR(join_one(model, *path, i, count));
  }
  QUERN_ASSIGN_OR_RETURN(const auto promised, model.metadata().find_uint(kSplitTensorsKey));
  if (promised && *promised != model.tensors().size()) {
    return shard_error(first, "promises " + std::to_string(*promised) +
                                  " tensors, but the parts hold " +
                                  std::to_string(model.tensors().size()));
  }
  const Status indexed = GgufParser::index_tensors(model);
  if (!indexed.ok()) return indexed.error().with_context(shown(first));
  return ok_status();
}

}  // namespace quern::gguf
