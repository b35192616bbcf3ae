// Turns the bytes of one GGUF file into a GgufFile, and joins the shards of a split model.
//
// Internal to models/gguf; callers use reader.h. Checks the container only: whether the keys and
// tensors make a model is the business of models/arch and models/loader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/base/mapped_file.h"
#include "config/base/result.h"
#include "models/gguf/cursor.h"
#include "models/gguf/reader.h"

namespace quern::gguf {

class GgufParser {
 public:
  // `mapping` is what `bytes` belongs to, null when the caller keeps the bytes alive. Errors begin
  // with the label.
  static Result<std::shared_ptr<GgufFile>> parse(std::span<const std::byte> bytes,
                                                 std::string label,
                                                 std::shared_ptr<const MappedFile> mapping);

  // Moves the tensors of shard number `shard` (counted from 0) into `model`, whose index is void
  // until index_tensors().
  static void absorb(GgufFile& model, GgufFile&& part, int shard);
  // Builds the index by name; an error for a name that appears twice.
  static Status index_tensors(GgufFile& file);

 private:
  GgufParser(std::span<const std::byte> bytes, GgufFile& file)
      : bytes_(bytes), cursor_(bytes), file_(file) {}

  Status run();
  Status read_magic();
  Status read_version();
  Status read_counts();
  Status read_pairs();
  Status read_pair();
  Status read_alignment();
  Status read_tensors();
  Status read_tensor(TensorInfo& tensor);
  Status read_dims(TensorInfo& tensor);
  Status check_padding(uint64_t data_start) const;

  std::span<const std::byte> bytes_;
  Cursor cursor_;
  GgufFile& file_;
  uint64_t n_tensors_ = 0;
  uint64_t n_pairs_ = 0;
  std::vector<uint64_t> offsets_;  // of each tensor, from the start of the data
};

}  // namespace quern::gguf
