// A directory of computed pages that outlives the process: one file per page, named by its digest.
//
// Crash-safe: a file appears under its name only when it is whole and on the disk (written beside,
// fsync, rename, fsync of the directory), and is checked against its SHA-256 when it is read; one
// that fails the check is removed. Bounded: the least recently used files go first. Several
// processes may use one directory. Blocking; called from threads that may wait for a disk.
// Thread-safe. Files hold what can be turned back into prompts, so only the owner may read them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/digest.h"
#include "config/base/log.h"
#include "config/base/result.h"

namespace quern::engine {

struct PageStoreOptions {
  std::filesystem::path directory;
  uint64_t max_bytes = 0;
  Log log = Log::none();
  // Stands in for write(2) in tests: full disks, failing devices.
  std::function<ssize_t(int fd, const void* data, size_t size)> write;
};

struct PageStoreCounters {
  uint64_t loaded = 0;
  uint64_t saved = 0;
  uint64_t damaged = 0;  // files that failed their check
  uint64_t failed = 0;   // writes that failed
  uint64_t bytes = 0;    // that files take now, as far as known
};

class PageStore {
 public:
  // Makes the directory if it is missing and looks at what is there. Errors: it cannot be made or
  // read, or others may write to it.
  static Result<std::unique_ptr<PageStore>> open(PageStoreOptions options);

  // Whether the page was there when last looked; needs no disk.
  bool contains(const Digest& page) const;
  // The contents, which have `size` bytes. Nothing when it is missing or damaged.
  std::optional<std::vector<std::byte>> load(const Digest& page, uint64_t size);
  // From now on it counts as missing, so that save() writes it again.
  void forget(const Digest& page);
  // Puts the contents there unless they are. Trouble is logged and counted: the store is a help,
  // not a duty.
  void save(const Digest& page, std::span<const std::byte> bytes);
  // Looks at the directory again: other processes use it too.
  void rescan();
  PageStoreCounters counters() const;

 private:
  struct File {
    uint64_t bytes = 0;
    int64_t used_ns = 0;  // time of last use, by the file's modification time
  };
  using Index = std::map<Digest, File>;

  explicit PageStore(PageStoreOptions options) : options_(std::move(options)) {}
  std::filesystem::path path_of(const Digest& page) const;
  Status write_file(const std::filesystem::path& path, const Digest& page,
                    std::span<const std::byte> bytes);
  void make_room(uint64_t bytes);

  PageStoreOptions options_;
  mutable std::mutex mutex_;  // guards what follows; never held while a disk works
  Index index_;
  PageStoreCounters counters_;
  uint64_t n_temporary_ = 0;
  bool write_failed_ = false;  // logged once per row of failures
};

}  // namespace quern::engine
