// A lock on the temporary file keeps two writers apart; a leftover of a killed process with the
// same id (usual in containers) carries no lock and is taken over.
#include "models/gguf/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

#include "models/gguf/name_rules.h"

namespace quern::gguf {
namespace {

// Whether `path` still names the file behind `fd`: between open and lock, the previous holder may
// have renamed it to its final name, and truncating it would destroy finished work.
bool still_named(int fd, const std::filesystem::path& path) {
  struct stat by_fd {};
  struct stat by_name {};
  return fstat(fd, &by_fd) == 0 && lstat(path.c_str(), &by_name) == 0 &&
         by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev;
}

// Makes a rename durable. Best effort: some file systems cannot sync a folder.
void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

}  // namespace

Error AtomicFile::io_error(const char* action, int code) const {
  return Error(ErrorKind::kIo, printable(path_.string(), 4096) + ": cannot " + action + ": " +
                                   std::generic_category().message(code) +
                                   ": check the folder, its permissions and the free space");
}

Result<std::unique_ptr<AtomicFile>> AtomicFile::create(const std::filesystem::path& path) {
  std::unique_ptr<AtomicFile> file(new AtomicFile());
  file->path_ = path;
  file->temporary_ = path;
  file->temporary_ += ".tmp-" + std::to_string(getpid());
  file->fd_ = ::open(file->temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (file->fd_ < 0) return file->io_error("create a file here", errno);
  if (flock(file->fd_, LOCK_EX | LOCK_NB) != 0 || !still_named(file->fd_, file->temporary_)) {
    return Error(ErrorKind::kBusy, printable(path.string(), 4096) +
                                       ": is being written already: wait for that to finish");
  }
  file->abandon_ = true;
  if (ftruncate(file->fd_, 0) != 0) return file->io_error("empty the temporary file", errno);
  return file;
}

AtomicFile::~AtomicFile() {
  // Removed before the lock goes with the descriptor.
  if (abandon_) unlink(temporary_.c_str());
  if (fd_ >= 0) close(fd_);
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  // One call may write at most about 2 GiB on Linux and fewer when interrupted.
  constexpr size_t kMost = size_t{1} << 30;
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), std::min(bytes.size(), kMost));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("write", errno);
    if (n == 0) return io_error("write", ENOSPC);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return ok_status();
}

Status AtomicFile::commit() {
  if (fsync(fd_) != 0) return io_error("make the data durable", errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    return io_error("put the finished file in place", errno);
  }
  abandon_ = false;
  const auto folder = path_.parent_path();
  sync_folder(folder.empty() ? std::filesystem::path(".") : folder);
  return ok_status();
}

}  // namespace quern::gguf
