// Models split over several files: "NAME-00001-of-00003.gguf" and so on, the first one named by the
// user. Source: llama.cpp gguf-split (keys split.no, split.count, split.tensors.count).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "config/base/result.h"
#include "models/gguf/metadata.h"
#include "models/gguf/reader.h"

namespace quern::gguf {

// How many files the model has by its metadata: 1 when it is not split.
Result<uint64_t> shard_count(const Metadata& metadata);

// The path of shard `number` (counted from 0) of `count`, given the path of the first; nothing
// when that does not end in "-00001-of-0000N.gguf" with N = count.
std::optional<std::filesystem::path> shard_path(const std::filesystem::path& first, uint64_t number,
                                                uint64_t count);

// Opens shards 2 and up and joins them to `model`, the parsed first shard of `count`.
Status join_shards(GgufFile& model, const std::filesystem::path& first, uint64_t count);

}  // namespace quern::gguf
