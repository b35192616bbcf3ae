// A read-only memory mapping of a regular file that survives the file being truncated or its
// device failing while it is mapped.
//
// A SIGBUS inside a registered mapping is answered by putting a zero page at the faulting address
// and marking the mapping poisoned; the owner looks at poisoned() at the end of each step and fails
// its own requests. Any other SIGBUS keeps its default action.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace quern {

class MappedFile {
 public:
  // Maps the whole file. Only regular files are accepted (opened non-blocking, checked by fstat).
  static Result<std::shared_ptr<const MappedFile>> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Whether an access failed since the file was mapped; sticky.
  bool poisoned() const;
  // Whether size or modification time on disk differ from when it was mapped.
  bool changed_on_disk() const;
  // Asks the kernel to read a part ahead; best effort.
  void prefetch(size_t offset, size_t length) const;

 private:
  MappedFile() = default;

  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int slot_ = -1;  // index in the table that the signal handler reads
  int64_t modified_ns_ = 0;
  int fd_ = -1;
  std::string path_;
};

// For whoever finds that a file was poisoned() while he read it; `label` names it in messages.
Error went_away(std::string_view label);

}  // namespace quern
