// Writes GGUF files: header first, then the tensors' data as a stream, so that a model larger than
// memory can be written.
//
//   GgufWriter writer;
//   writer.metadata().set("general.architecture", std::string("llama"));
//   QUERN_RETURN_IF_ERROR(writer.add_tensor("x", formats::FormatId::kF32, dims));
//   QUERN_ASSIGN_OR_RETURN(auto out, writer.create(path));
//   QUERN_RETURN_IF_ERROR(out->write_tensor(bytes));   // in the order of add_tensor
//   QUERN_RETURN_IF_ERROR(out->finish());
//
// Holds to the limits of the reader (gguf_format.h): what it writes, GgufFile opens. Data of every
// tensor, the last included, is padded to the alignment. Writing back what was read gives the same
// bytes when the source follows the same layout. Source: GGUF specification.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "kernels/formats/format.h"
#include "models/gguf/metadata.h"
#include "models/gguf/reader.h"

namespace quern::gguf {

// Takes the tensors' bytes of a file whose header is already written. Made by GgufWriter.
class GgufOutput {
 public:
  virtual ~GgufOutput() = default;

  // The next part of the current tensor; a tensor may come in any number of parts, but a part never
  // reaches into the next tensor.
  Status write(std::span<const std::byte> part);
  // The whole of the next tensor.
  Status write_tensor(std::span<const std::byte> bytes);
  // All tensors are written: completes the file. Nothing is visible at the path before.
  Status finish();

 protected:
  virtual Status put(std::span<const std::byte> bytes) = 0;
  virtual Status complete() = 0;

 private:
  friend class GgufWriter;
  void expect(std::vector<uint64_t> sizes, uint64_t alignment);

  std::vector<uint64_t> sizes_;  // of all tensors
  uint64_t alignment_ = 1;
  size_t current_ = 0;    // the tensor being written
  uint64_t written_ = 0;  // bytes of it so far
};

class GgufWriter {
 public:
  // general.alignment, if set, is obeyed.
  Metadata& metadata() { return metadata_; }
  const Metadata& metadata() const { return metadata_; }
  // 2 or 3 (the default).
  Status set_version(uint32_t version);
  // dims[0] is the contiguous dimension; 1 to 4 of them, each at least 1.
  Status add_tensor(std::string name, formats::FormatId format, std::span<const uint64_t> dims);
  // Version, metadata and tensor records of another file.
  Status copy_header(const GgufFile& file);

  // Version, counts, pairs, records and padding: everything before the data.
  Result<std::vector<std::byte>> header() const;

  // Starts the file at `path` (see atomic_file.h) or in `out`, which must outlive the output.
  Result<std::unique_ptr<GgufOutput>> create(const std::filesystem::path& path) const;
  Result<std::unique_ptr<GgufOutput>> create_in(std::vector<std::byte>& out) const;

 private:
  Result<uint64_t> alignment() const;
  Status start(GgufOutput& output) const;

  uint32_t version_ = 3;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;  // data unused
  std::vector<uint64_t> sizes_;
};

}  // namespace quern::gguf
