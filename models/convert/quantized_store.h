// A directory of quantized models that outlives the process: one file for each source and recipe,
// named by what it was made from.
//
// Crash-safe: a file appears under its name only when it is whole (gguf/atomic_file), and what a
// killed writer left is removed by the next. Bounded: the least recently used files go first, none
// that a process still has open through here. Several processes may use one directory: one makes a
// file at a time, the others wait and find it made. Blocking.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "config/base/digest.h"
#include "config/base/result.h"
#include "models/convert/quantize_plan.h"

namespace quern::convert {

// Names the result of quantizing: the contents of the source, every tensor's format, and the
// version of the encoders. Another file under the source's name has another key.
Digest quantized_key(const Digest& source, const QuantizePlan& plan);

struct QuantizedStoreOptions {
  std::filesystem::path directory = {};
  uint64_t max_bytes = 0;
  // Called once when another process is at work and this one has to wait for it.
  std::function<void()> waiting = {};
  const std::atomic<bool>* stop = nullptr;  // set from elsewhere to stop waiting; may be null
};

// A file of the store; it is not removed as long as this lives.
class StoredModel {
 public:
  StoredModel(std::filesystem::path path, int fd, bool made)
      : path_(std::move(path)), fd_(fd), made_(made) {}
  ~StoredModel();
  StoredModel(const StoredModel&) = delete;
  StoredModel& operator=(const StoredModel&) = delete;

  const std::filesystem::path& path() const { return path_; }
  bool made() const { return made_; }  // just now, rather than found

 private:
  std::filesystem::path path_;
  int fd_;  // holds a shared lock
  bool made_;
};

class QuantizedStore {
 public:
  // Makes the directory if it is missing. Errors: it cannot be made or used, or everybody may write
  // to it.
  static Result<QuantizedStore> open(QuantizedStoreOptions options);

  // The file of `bytes` bytes for `key`; if it is not there, or is of another size, make(path)
  // writes it after making room. Errors: those of make, more bytes than the store may take,
  // interrupted while waiting (kCancelled).
  Result<std::unique_ptr<const StoredModel>> get(
      const Digest& key, uint64_t bytes,
      const std::function<Status(const std::filesystem::path& path)>& make) const;
  // Removes a file that turned out to be damaged.
  void forget(const Digest& key) const;

 private:
  explicit QuantizedStore(QuantizedStoreOptions options) : options_(std::move(options)) {}
  std::filesystem::path path_of(const Digest& key) const;
  std::unique_ptr<const StoredModel> find(const Digest& key, uint64_t bytes, bool made) const;
  Result<int> lock() const;
  Status make_room(uint64_t bytes) const;

  QuantizedStoreOptions options_;
};

}  // namespace quern::convert
