// Reference rows of a whole text on disk: what a smaller file of the same model is compared with
// when the reference itself is too large to load beside it. About a kilobyte per scored token
// instead of two or four bytes for each word of the vocabulary.
//
// Bytes, little-endian: "QUERNREF", version, n_vocab, context, n_scored (u32 each), n_windows
// (u64), SHA-256 of the windows' tokens; then for each window n_scored rows of target_nll and
// rest (f32 each), number of entries (u16) and the entries: token (u32), steps (u16).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "config/base/digest.h"
#include "config/base/mapped_file.h"
#include "models/evaluate/reference_row.h"
#include "models/gguf/atomic_file.h"

namespace quern::evaluate {

// What text, cut how, the rows belong to.
struct ReferenceText {
  uint32_t n_vocab = 0;
  uint32_t context = 0;
  uint32_t n_scored = 0;  // rows per window
  uint64_t n_windows = 0;
  Digest tokens = {};

  static ReferenceText of(const Windows& windows, int64_t n_vocab);
};

class ReferenceWriter {
 public:
  // The file appears with finish(); before that there is none.
  static Result<std::unique_ptr<ReferenceWriter>> create(const std::filesystem::path& path,
                                                         const ReferenceText& text);
  Status add(const ReferenceRow& row);
  // Precondition: all rows were added.
  Status finish();

 private:
  ReferenceWriter() = default;
  Status flush();

  std::unique_ptr<gguf::AtomicFile> file_;
  std::vector<std::byte> buffer_;
  uint64_t n_missing_ = 0;  // rows
};

class ReferenceReader {
 public:
  // Errors: no such file, not a reference file, another version, another text, vocabulary or
  // window than `expected` (names which).
  static Result<std::unique_ptr<ReferenceReader>> open(const std::filesystem::path& path,
                                                       const ReferenceText& expected);
  // The next row. Errors: the file ends early or says what cannot be.
  Result<ReferenceRow> next();

 private:
  ReferenceReader() = default;
  Error damaged(const std::string& what) const;

  std::shared_ptr<const MappedFile> file_;
  uint64_t offset_ = 0;
  uint32_t n_vocab_ = 0;
};

}  // namespace quern::evaluate
