// A file that appears under its name only when it is complete.
//
// Bytes go to "<path>.tmp-<pid>" in the same folder; commit() makes them durable and renames. If
// the object dies without commit(), or commit() fails, the temporary file is removed and whatever
// was at the path before is untouched.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "config/base/result.h"

namespace quern::gguf {

class AtomicFile {
 public:
  // Errors: folder missing or not writable; another writer in this process has the same path open.
  static Result<std::unique_ptr<AtomicFile>> create(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Appends. After an error the file can only be abandoned.
  Status write(std::span<const std::byte> bytes);
  Status commit();

 private:
  AtomicFile() = default;
  Error io_error(const char* action, int code) const;

  int fd_ = -1;
  bool abandon_ = false;  // the temporary file is ours to remove
  std::filesystem::path path_;
  std::filesystem::path temporary_;
};

}  // namespace quern::gguf
