// One lock on the directory ("lock") lets one process at a time make or remove files; a shared lock
// on a file keeps it from being removed. Locks go with their descriptors, whatever ends a process.
#include "models/convert/quantized_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

#include "config/base/file_descriptor.h"
#include "kernels/quantize/encoder.h"
#include "models/gguf/name_rules.h"

namespace quern::convert {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".gguf";
constexpr std::string_view kTemporary = ".gguf.tmp-";  // of gguf/atomic_file
constexpr auto kPause = std::chrono::milliseconds(100);

std::string shown(const fs::path& path) { return gguf::printable(path.string(), 4096); }

struct Kept {
  fs::path path;
  uint64_t bytes = 0;
  int64_t used_ns = 0;
};

std::vector<Kept> kept_files(const fs::path& directory) {
  std::vector<Kept> files;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    struct stat info {};
    const fs::path& path = it->path();
    if (path.extension() != kSuffix || lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
      continue;
    }
    files.push_back({path, static_cast<uint64_t>(info.st_size),
                     int64_t{info.st_mtim.tv_sec} * 1000000000 + info.st_mtim.tv_nsec});
  }
  return files;
}

// With the directory locked nobody writes here, so that what is half written was left behind.
void remove_leftovers(const fs::path& directory) {
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->path().filename().string().find(kTemporary) != std::string::npos) {
      fs::remove(it->path(), ignored);
    }
  }
}

// Unless somebody has it in use.
bool remove_unused(const fs::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() < 0 || flock(file.get(), LOCK_EX | LOCK_NB) != 0) return false;
  return unlink(path.c_str()) == 0;
}

}  // namespace

Digest quantized_key(const Digest& source, const QuantizePlan& plan) {
  Sha256 hash;
  hash.add("quern quantized model 1").add(std::as_bytes(std::span(source)));
  hash.add_number(quantize::kEncoderVersion).add_number(plan.tensors.size());
  for (const PlannedTensor& tensor : plan.tensors) {
    hash.add_number(tensor.source->name.size()).add(tensor.source->name);
    hash.add_number(formats::format_info(tensor.format).gguf_code);
  }
  return hash.finish();
}

StoredModel::~StoredModel() {
  if (fd_ >= 0) close(fd_);
}

Result<QuantizedStore> QuantizedStore::open(QuantizedStoreOptions options) {
  std::error_code error;
  fs::create_directories(options.directory, error);
  struct stat info {};
  const bool usable = stat(options.directory.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
                      access(options.directory.c_str(), R_OK | W_OK | X_OK) == 0;
  if (!usable) {
    return Error(ErrorKind::kIo, shown(options.directory) +
                                     ": this folder for quantized models cannot be made or written "
                                     "to; name another one with --cache-dir");
  }
  if ((info.st_mode & S_IWOTH) != 0) {
    return Error(ErrorKind::kIo, shown(options.directory) +
                                     ": this folder for quantized models can be written to by "
                                     "everybody, who could put false ones there; remove that "
                                     "permission or name another one with --cache-dir");
  }
  return QuantizedStore(std::move(options));
}

fs::path QuantizedStore::path_of(const Digest& key) const {
  return options_.directory / (to_hex(key) + std::string(kSuffix));
}

std::unique_ptr<const StoredModel> QuantizedStore::find(const Digest& key, uint64_t bytes,
                                                        bool made) const {
  const fs::path path = path_of(key);
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() < 0 || flock(file.get(), LOCK_SH) != 0) return nullptr;
  struct stat by_fd {};
  struct stat by_name {};
  // It may have been removed between open and lock.
  const bool same = fstat(file.get(), &by_fd) == 0 && lstat(path.c_str(), &by_name) == 0 &&
                    by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev;
  if (!same || static_cast<uint64_t>(by_fd.st_size) != bytes) return nullptr;
  utimensat(AT_FDCWD, path.c_str(), nullptr, 0);  // used now; no harm where that cannot be noted
  return std::make_unique<const StoredModel>(path, file.release(), made);
}

Result<int> QuantizedStore::lock() const {
  const fs::path path = options_.directory / "lock";
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) {
    return Error(ErrorKind::kIo,
                 shown(path) + ": cannot be opened: " + std::generic_category().message(errno) +
                     "; check the folder, or name another one with --cache-dir");
  }
  bool told = false;
  while (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return Error(ErrorKind::kIo,
                   shown(path) + ": cannot be locked: " + std::generic_category().message(errno) +
                       "; name a folder on another disk with --cache-dir");
    }
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
      return Error(ErrorKind::kCancelled,
                   "interrupted while another process was quantizing; nothing was written");
    }
    if (!told && options_.waiting) options_.waiting();
    told = true;
    std::this_thread::sleep_for(kPause);
  }
  return file.release();
}

Status QuantizedStore::make_room(uint64_t bytes) const {
  if (bytes > options_.max_bytes) {
    return Error(ErrorKind::kInvalidInput,
                 "the quantized model takes " + std::to_string(bytes) + " bytes, more than the " +
                     std::to_string(options_.max_bytes) + " that all of them may take in " +
                     shown(options_.directory) + "; raise --cache-bytes");
  }
  remove_leftovers(options_.directory);
  std::vector<Kept> files = kept_files(options_.directory);
  std::sort(files.begin(), files.end(),
            [](const Kept& a, const Kept& b) { return a.used_ns < b.used_ns; });
  uint64_t taken = 0;
  for (const Kept& file : files) taken += file.bytes;
  for (const Kept& file : files) {
    if (taken <= options_.max_bytes - bytes) break;
    if (remove_unused(file.path)) taken -= file.bytes;
  }
  if (taken <= options_.max_bytes - bytes) return ok_status();
  return Error(ErrorKind::kInvalidInput,
               "the quantized models that are in use take " + std::to_string(taken) + " of the " +
                   std::to_string(options_.max_bytes) + " bytes allowed in " +
                   shown(options_.directory) + ", and another " + std::to_string(bytes) +
                   " are needed; raise --cache-bytes");
}

Result<std::unique_ptr<const StoredModel>> QuantizedStore::get(
    const Digest& key, uint64_t bytes, const std::function<Status(const fs::path&)>& make) const {
  if (auto found = find(key, bytes, false)) return found;
  QUERN_ASSIGN_OR_RETURN(const int fd, lock());
  const FileDescriptor locked(fd);
  // Whoever held the lock may have made it.
  if (auto found = find(key, bytes, false)) return found;
  forget(key);
  QUERN_RETURN_IF_ERROR(make_room(bytes));
  QUERN_RETURN_IF_ERROR(make(path_of(key)));
  if (auto made = find(key, bytes, true)) return made;
  return Error(ErrorKind::kIo, shown(path_of(key)) +
                                   ": the quantized model that was written is gone or of another "
                                   "size; check the disk and try again");
}

void QuantizedStore::forget(const Digest& key) const {
  std::error_code ignored;
  fs::remove(path_of(key), ignored);
}

}  // namespace quern::convert
