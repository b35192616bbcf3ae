// File: magic, name, payload size, SHA-256 of the payload, payload. Numbers are little-endian.
#include "engine/store/page_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "config/base/file_descriptor.h"

namespace quern::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "QUERNPG1";
constexpr std::string_view kSuffix = ".page";
constexpr std::string_view kTemporary = ".new-";
constexpr size_t kHeaderBytes = 8 + 32 + 8 + 32;
// What a process that died has left behind; a living one is done with a file much sooner.
constexpr auto kStale = std::chrono::hours(1);

Error io_error(const std::string& what, const fs::path& path) {
  return Error(ErrorKind::kIo,
               what + " " + path.string() + " failed: " + std::system_category().message(errno));
}

std::optional<Digest> digest_of_name(std::string_view name) {
  Digest out{};
  if (name.size() != 2 * out.size() + kSuffix.size() || !name.ends_with(kSuffix)) return {};
  const auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = value(name[2 * i]);
    const int low = value(name[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return out;
}

std::array<std::byte, kHeaderBytes> make_header(const Digest& page,
                                                std::span<const std::byte> payload) {
  std::array<std::byte, kHeaderBytes> out{};
  std::memcpy(out.data(), kMagic.data(), 8);
  std::memcpy(out.data() + 8, page.data(), 32);
  for (size_t i = 0; i < 8; ++i) {
    out[40 + i] = static_cast<std::byte>(static_cast<uint64_t>(payload.size()) >> (8 * i));
  }
  const Digest sum = Sha256().add(payload).finish();
  std::memcpy(out.data() + 48, sum.data(), 32);
  return out;
}

bool read_fully(int fd, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = ::read(fd, out.data(), out.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out = out.subspan(static_cast<size_t>(got));
  }
  return true;
}

int64_t modified_ns(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);  // file times are wall-clock times
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

Result<std::unique_ptr<PageStore>> PageStore::open(PageStoreOptions options) {
  if (!options.write) {
    options.write = [](int fd, const void* data, size_t size) { return ::write(fd, data, size); };
  }
  std::error_code error;
  const bool made = fs::create_directories(options.directory, error);
  if (error) {
    return Error(ErrorKind::kIo, "the prefix cache directory " + options.directory.string() +
                                     " cannot be made: " + error.message() +
                                     "; name one that this user may write to");
  }
  if (made) fs::permissions(options.directory, fs::perms::owner_all, error);
  struct stat info {};
  if (::stat(options.directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) ||
      ::access(options.directory.c_str(), R_OK | W_OK | X_OK) != 0) {
    return Error(ErrorKind::kIo, "the prefix cache directory " + options.directory.string() +
                                     " cannot be read and written by this user");
  }
  if ((info.st_mode & S_IWOTH) != 0) {
    return Error(ErrorKind::kIo, "the prefix cache directory " + options.directory.string() +
                                     " can be written by everybody, who could put false prompts "
                                     "into it; remove that permission");
  }
  std::unique_ptr<PageStore> store(new PageStore(std::move(options)));
  store->rescan();
  return store;
}

fs::path PageStore::path_of(const Digest& page) const {
  return options_.directory / (to_hex(page) + std::string(kSuffix));
}

void PageStore::rescan() {
  Index found;
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator it(options_.directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    struct stat info {};
    if (::lstat(it->path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (name.starts_with(kTemporary)) {
      const auto age = std::chrono::nanoseconds(now_ns() - modified_ns(info));
      if (age > kStale) ::unlink(it->path().c_str());
      continue;
    }
    if (const auto page = digest_of_name(name)) {
      found[*page] = {static_cast<uint64_t>(info.st_size), modified_ns(info)};
      bytes += static_cast<uint64_t>(info.st_size);
    }
  }
  if (error) options_.log.warn("the prefix cache directory cannot be read: " + error.message());
  const std::lock_guard lock(mutex_);
  index_ = std::move(found);
  counters_.bytes = bytes;
}

bool PageStore::contains(const Digest& page) const {
  const std::lock_guard lock(mutex_);
  return index_.contains(page);
}

std::optional<std::vector<std::byte>> PageStore::load(const Digest& page, uint64_t size) {
  const fs::path path = path_of(page);
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.ok()) {
    forget(page);  // another process has given it up
    return std::nullopt;
  }
  std::array<std::byte, kHeaderBytes> header{};
  std::vector<std::byte> payload(size);
  struct stat info {};
  const bool whole = ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode) &&
                     static_cast<uint64_t>(info.st_size) == kHeaderBytes + size &&
                     read_fully(file.get(), header) && read_fully(file.get(), payload) &&
                     header == make_header(page, payload);
  if (!whole) {
    options_.log.warn("the prefix cache file " + path.string() +
                      " is damaged; it is removed and its prompt computed again");
    ::unlink(path.c_str());
    forget(page);
    const std::lock_guard lock(mutex_);
    ++counters_.damaged;
    return std::nullopt;
  }
  ::futimens(file.get(), nullptr);  // used now; best effort
  const std::lock_guard lock(mutex_);
  ++counters_.loaded;
  const auto known = index_.find(page);
  if (known != index_.end()) known->second.used_ns = now_ns();
  return payload;
}

void PageStore::forget(const Digest& page) {
  const std::lock_guard lock(mutex_);
  const auto known = index_.find(page);
  if (known == index_.end()) return;
  counters_.bytes -= std::min(counters_.bytes, known->second.bytes);
  index_.erase(known);
}

void PageStore::save(const Digest& page, std::span<const std::byte> bytes) {
  const uint64_t size = kHeaderBytes + bytes.size();
  if (contains(page) || size > options_.max_bytes) return;
  make_room(size);
  const Status written = write_file(path_of(page), page, bytes);
  const std::lock_guard lock(mutex_);
  if (!written.ok()) {
    ++counters_.failed;
    if (!write_failed_) {
      options_.log.warn("the prefix cache goes on without writing: " + written.error().message());
    }
    write_failed_ = true;
    return;
  }
  write_failed_ = false;
  ++counters_.saved;
  if (index_.try_emplace(page, File{size, now_ns()}).second) counters_.bytes += size;
}

Status PageStore::write_file(const fs::path& path, const Digest& page,
                             std::span<const std::byte> bytes) {
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = ++n_temporary_;
  }
  const fs::path temporary =
      options_.directory / (std::string(kTemporary) + std::to_string(::getpid()) + "-" +
                            std::to_string(now_ns()) + "-" + std::to_string(number));
  const auto write_all = [&]() -> Status {
    const FileDescriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.ok()) return io_error("creating", temporary);
    const auto header = make_header(page, bytes);
    for (std::span<const std::byte> part : {std::span<const std::byte>(header), bytes}) {
      while (!part.empty()) {
        const ssize_t put = options_.write(file.get(), part.data(), part.size());
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return io_error("writing", temporary);
        part = part.subspan(static_cast<size_t>(put));
      }
    }
    if (::fsync(file.get()) != 0) return io_error("syncing", temporary);
    return ok_status();
  };
  Status done = write_all();
  if (done.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    done = io_error("renaming", temporary);
  }
  if (!done.ok()) {
    ::unlink(temporary.c_str());
    return done;
  }
  const FileDescriptor directory(
      ::open(options_.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.ok() || ::fsync(directory.get()) != 0) {
    return io_error("syncing", options_.directory);
  }
  return ok_status();
}

// Removes files until `bytes` more fit, the least recently used first. What other processes have
// written counts too.
void PageStore::make_room(uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (counters_.bytes + bytes <= options_.max_bytes) return;
  }
  rescan();
  std::vector<std::pair<int64_t, Digest>> oldest;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [page, file] : index_) oldest.emplace_back(file.used_ns, page);
  }
  std::sort(oldest.begin(), oldest.end());
  for (const auto& [used, page] : oldest) {
    {
      const std::lock_guard lock(mutex_);
      // A tenth more than needed, so that not every page looks at the whole directory.
      if (counters_.bytes + bytes <= options_.max_bytes - options_.max_bytes / 10) return;
    }
    ::unlink(path_of(page).c_str());
    forget(page);
  }
}

PageStoreCounters PageStore::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace quern::engine
