// Opens safetensors files (one, or the shards that an index names) as a zero-copy, validated index
// of tensors.
//
//   u64 length of the header | JSON header, may end in spaces | data
//   {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
//    "__metadata__": {"key": "text", ...}}
//
// Offsets count from the end of the header. Everything is checked before it is used: the length
// against the file and kHeaderBytes, every product, every range; the ranges must cover the data
// without gap or overlap. What open() returns is safe to read in full. Data stays in the mapping,
// at any alignment. Which tensors make a model is the business of the caller.
// Source: the format's description, github.com/huggingface/safetensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/base/mapped_file.h"
#include "config/base/result.h"
#include "models/safetensors/dtype.h"

namespace quern::safetensors {

// Limits, each far above what published files use.
struct Limits {
  static constexpr uint64_t kHeaderBytes = 32u << 20;  // of one file
  static constexpr uint64_t kIndexBytes = 64u << 20;
  static constexpr uint64_t kFileTensors = 65'536;
  static constexpr uint64_t kTensors = 262'144;  // in all shards together
  static constexpr uint64_t kNameBytes = 512;
  static constexpr uint64_t kDims = 8;
  static constexpr uint64_t kShards = 4'096;
};

struct Tensor {
  std::string name;
  DType dtype{};
  std::vector<uint64_t> shape;      // slowest dimension first, as written; empty: one value
  std::span<const std::byte> data;  // in the mapping; exactly the tensor's bytes, maybe none
  int shard = 0;                    // which file

  uint64_t n_values() const { return data.size() / dtype_bytes(dtype); }
};

// "F16 [2, 3]": for messages.
std::string describe(const Tensor& tensor);

// All values. Precondition: is_float(tensor.dtype).
std::vector<float> floats_of(const Tensor& tensor);

class Checkpoint {
 public:
  // A file, an index ("*.index.json", whose shards lie beside it), or a folder with
  // model.safetensors.index.json or model.safetensors. Errors name the file, the tensor, and what
  // was expected.
  static Result<std::shared_ptr<const Checkpoint>> open(const std::filesystem::path& path);
  // One file's bytes, which outlive the object (tests, fuzzing).
  static Result<std::shared_ptr<const Checkpoint>> from_bytes(std::span<const std::byte> bytes,
                                                              std::string_view label);

  // In the order of the shards, within one by place in the file.
  std::span<const Tensor> tensors() const { return tensors_; }
  const Tensor* find(std::string_view name) const;  // null when absent
  // The texts under __metadata__ of the first file.
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }
  // Where it came from, for messages: the path given to open() or the label.
  const std::string& label() const { return label_; }
  // Where a tensor came from.
  const std::string& label_of(const Tensor& tensor) const;
  uint64_t file_bytes() const { return file_bytes_; }  // all shards
  // True once an access to a mapping failed: what was read is void. See MappedFile::poisoned.
  bool poisoned() const;
  // See MappedFile::changed_on_disk.
  bool changed_on_disk() const;

 private:
  Checkpoint() = default;
  Status add_file(std::span<const std::byte> bytes, const std::string& label);
  Status open_index(const std::filesystem::path& path);
  Status open_shard(const std::filesystem::path& path);
  Status index_tensors();

  std::string label_;
  uint64_t file_bytes_ = 0;
  std::vector<Tensor> tensors_;
  std::vector<std::string> file_labels_;  // by shard
  std::vector<std::pair<std::string, std::string>> metadata_;
  std::unordered_map<std::string_view, size_t> index_;
  std::vector<std::shared_ptr<const MappedFile>> mappings_;
};

}  // namespace quern::safetensors
