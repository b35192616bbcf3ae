// POSIX implementation: open, check, map, register with the SIGBUS guard.
#include "config/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <system_error>

#include "config/base/bus_guard.h"

namespace quern {
namespace {

int64_t modified_ns(const struct stat& info) {
  return static_cast<int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec;
}

// Message of an errno value; std::strerror is not safe with threads.
std::string reason(int code) { return std::generic_category().message(code); }

const char* kind_of_file(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  if (S_ISBLK(mode)) return "a block device";
  return "not a regular file";
}

Error open_error(const std::string& path, int code) {
  if (code == ENOENT || code == ENOTDIR) {
    return Error(ErrorKind::kNotFound, path + ": no such file: check the path");
  }
  if (code == EACCES || code == EPERM) {
    return Error(ErrorKind::kIo,
                 path + ": permission denied: make the file readable for this user");
  }
  return Error(ErrorKind::kIo, path + ": cannot be opened: " + reason(code));
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  // The object owns the descriptor from here on, so that every early return closes it.
  std::shared_ptr<MappedFile> file(new MappedFile());
  file->path_ = path.string();
  // Non-blocking, or opening a pipe without a writer would hang.
  file->fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file->fd_ < 0) return open_error(file->path_, errno);

  struct stat info {};
  if (fstat(file->fd_, &info) != 0) return open_error(file->path_, errno);
  if (!S_ISREG(info.st_mode)) {
    return Error(ErrorKind::kInvalidInput, file->path_ + ": is " + kind_of_file(info.st_mode) +
                                               ", expected a regular file: check the path");
  }
  file->modified_ns_ = modified_ns(info);
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size == 0) return std::shared_ptr<const MappedFile>(std::move(file));
  if (size > static_cast<uint64_t>(std::numeric_limits<ptrdiff_t>::max())) {
    return Error(ErrorKind::kInvalidInput, file->path_ + ": is larger than the address space");
  }

  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file->fd_, 0);
  if (data == MAP_FAILED) {
    const int code = errno;
    const auto kind = code == ENOMEM ? ErrorKind::kOutOfMemory : ErrorKind::kIo;
    return Error(kind, file->path_ + ": its " + std::to_string(size) +
                           " bytes cannot be mapped: " + reason(code));
  }
  // Best effort: what is read from disk from now on then comes in huge pages where the file system
  // can, which the processor translates faster (15 % on decoding). Pages that are in the cache
  // already stay as they are.
  (void)madvise(data, size, MADV_HUGEPAGE);
  file->data_ = static_cast<const std::byte*>(data);
  file->size_ = size;
  QUERN_ASSIGN_OR_RETURN(file->slot_, bus_guard::add_range(data, size));
  return std::shared_ptr<const MappedFile>(std::move(file));
}

MappedFile::~MappedFile() {
  // Unregistered first: once unmapped, the addresses may belong to another mapping, whose faults
  // this slot must not claim. Nobody reads the range any more, so no fault can be missed.
  if (slot_ >= 0) bus_guard::remove_range(slot_);
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) close(fd_);
}

bool MappedFile::poisoned() const { return slot_ >= 0 && bus_guard::poisoned(slot_); }

bool MappedFile::changed_on_disk() const {
  struct stat info {};
  if (fstat(fd_, &info) != 0) return true;
  return static_cast<uint64_t>(info.st_size) != size_ || modified_ns(info) != modified_ns_;
}

void MappedFile::prefetch(size_t offset, size_t length) const {
  if (offset >= size_ || length == 0) return;
  if (length > size_ - offset) length = size_ - offset;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = offset - offset % page;
  madvise(const_cast<std::byte*>(data_ + begin), length + (offset - begin), MADV_WILLNEED);
}

Error went_away(std::string_view label) {
  return Error(ErrorKind::kIo, std::string(label) +
                                   ": became shorter or unreadable while it was read: check the "
                                   "disk and try again");
}

}  // namespace quern
