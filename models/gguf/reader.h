// Opens GGUF files (versions 2 and 3, split files included) as a zero-copy, validated index.
//
// Everything is checked before it is used: counts against remaining bytes, products by checked
// arithmetic, every tensor against the end of its file. What open() returns is safe to read in
// full. Tensor data stays in the mapping; metadata is copied out once.
// Source: GGUF specification (ggml-org/ggml docs/gguf.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/mapped_file.h"
#include "config/base/result.h"
#include "kernels/formats/format.h"
#include "models/gguf/metadata.h"

namespace quern::gguf {

// One tensor: dims[0] is the contiguous dimension (ne0 in the file; values in a row).
struct TensorInfo {
  std::string name;
  formats::FormatId format{};
  int n_dims = 0;                            // 1..4
  std::array<uint64_t, 4> dims{1, 1, 1, 1};  // unused ones are 1
  std::span<const std::byte> data;           // in the mapping; exactly the tensor's bytes
  int shard = 0;                             // which file of a split model

  uint64_t n_values() const { return dims[0] * dims[1] * dims[2] * dims[3]; }  // checked at open
  uint64_t n_rows() const { return dims[1] * dims[2] * dims[3]; }
};

class GgufFile {
 public:
  // Opens `path`; when its metadata says it is the first shard of several, opens the others beside
  // it ("-00001-of-0000N"). Errors name the file, the field, its byte offset and what was expected.
  static Result<std::shared_ptr<const GgufFile>> open(const std::filesystem::path& path);
  // The same over bytes that outlive the object (embedded model, tests, fuzzing).
  static Result<std::shared_ptr<const GgufFile>> from_bytes(std::span<const std::byte> bytes,
                                                            std::string_view label);

  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  const Metadata& metadata() const { return metadata_; }
  std::span<const TensorInfo> tensors() const { return tensors_; }
  const TensorInfo* find_tensor(std::string_view name) const;  // null when absent
  // Where it came from, for messages: the path given to open() or the label.
  const std::string& label() const { return label_; }
  uint64_t file_bytes() const { return file_bytes_; }  // all shards
  // The whole contents, shard after shard. Bytes that from_bytes() was given belong to its caller.
  std::vector<std::span<const std::byte>> contents() const;
  // True once an access to the mapping failed (file truncated under us, I/O error): results
  // computed from it are void. See MappedFile::poisoned.
  bool poisoned() const;
  // Whether a file was rewritten in place since it was opened (size or modification time); being
  // replaced by rename or deleted does not count. See MappedFile::changed_on_disk.
  bool changed_on_disk() const;

 private:
  friend class GgufParser;
  GgufFile() = default;

  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  uint64_t file_bytes_ = 0;
  std::string label_;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
  std::vector<std::shared_ptr<const MappedFile>> mappings_;
  std::span<const std::byte> bytes_;  // without mappings
};

}  // namespace quern::gguf
