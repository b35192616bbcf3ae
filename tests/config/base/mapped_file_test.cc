// MappedFile: what it accepts, and that a mapping outlives what happens to its file.
#include "config/base/mapped_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>
#include <vector>

namespace quern {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr size_t kPage = 4096;
constexpr char kFill = 'Q';

class MappedFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "quern-mapped-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(dir_, ignored);
  }

  fs::path make_file(const std::string& name, size_t size, char fill = kFill) const {
    const fs::path path = dir_ / name;
    std::ofstream(path, std::ios::binary) << std::string(size, fill);
    return path;
  }

  fs::path dir_;
};

std::shared_ptr<const MappedFile> must_open(const fs::path& path) {
  auto file = MappedFile::open(path);
  EXPECT_TRUE(file.ok()) << file.error().message();
  return file.ok() ? *file : nullptr;
}

size_t count_bytes(const MappedFile& file, size_t begin, size_t end, char value) {
  const volatile std::byte* data = file.bytes().data();
  size_t n = 0;
  for (size_t i = begin; i < end; ++i) n += data[i] == static_cast<std::byte>(value) ? 1 : 0;
  return n;
}

TEST_F(MappedFileTest, ReadsTheWholeFile) {
  const auto file = must_open(make_file("a", 3 * kPage + 5));
  ASSERT_EQ(file->bytes().size(), 3 * kPage + 5);
  EXPECT_EQ(count_bytes(*file, 0, file->bytes().size(), kFill), 3 * kPage + 5);
  EXPECT_FALSE(file->poisoned());
  EXPECT_FALSE(file->changed_on_disk());
  file->prefetch(1, 2 * kPage);
  file->prefetch(kPage, static_cast<size_t>(-1));
  file->prefetch(static_cast<size_t>(-1), 5);
}

TEST_F(MappedFileTest, AnEmptyFileMapsToNothing) {
  const auto file = must_open(make_file("empty", 0));
  EXPECT_TRUE(file->bytes().empty());
  EXPECT_FALSE(file->poisoned());
}

TEST_F(MappedFileTest, OnlyRegularFilesAreAccepted) {
  const auto message = [](const fs::path& path) {
    const auto file = MappedFile::open(path);
    return file.ok() ? std::string("opened") : file.error().message();
  };
  EXPECT_THAT(message(dir_), HasSubstr("a directory"));
  EXPECT_THAT(message("/dev/zero"), HasSubstr("a character device"));
  EXPECT_THAT(message("/dev/random"), HasSubstr("a character device"));
  const fs::path pipe = dir_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(message(pipe), HasSubstr("a pipe"));
  const fs::path loop = dir_ / "loop";
  fs::create_symlink(loop, loop);
  EXPECT_THAT(message(loop), HasSubstr("cannot be opened"));
  EXPECT_THAT(message(dir_ / "absent"), HasSubstr("no such file"));
  EXPECT_EQ(MappedFile::open(dir_ / "absent").error().kind(), ErrorKind::kNotFound);
}

TEST_F(MappedFileTest, ASocketIsRefused) {
  const int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_GE(descriptor, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (dir_ / "s").string();
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_FALSE(MappedFile::open(path).ok());
  close(descriptor);
}

TEST_F(MappedFileTest, AnUnreadableFileSaysSo) {
  const fs::path path = make_file("secret", 10);
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  // The superuser may read every file, so it becomes nobody for a moment.
  const uid_t user = geteuid();
  constexpr uid_t kNobody = 65534;
  if (user == 0 && seteuid(kNobody) != 0) GTEST_SKIP() << "cannot give up the superuser's rights";
  const auto file = MappedFile::open(path);
  ASSERT_EQ(seteuid(user), 0);
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(file.error().message(), HasSubstr("permission denied"));
}

TEST_F(MappedFileTest, AFileBeyondTheAddressSpaceIsAnError) {
  // Most file systems stop at 16 TiB; tmpfs takes 8 EiB.
  const fs::path path = "/dev/shm/quern-huge-" + std::to_string(getpid());
  std::ofstream(path).flush();
  const bool made = truncate(path.c_str(), std::numeric_limits<off_t>::max()) == 0;
  const auto file = MappedFile::open(path);
  fs::remove(path);
  if (!made) GTEST_SKIP() << "no file system for sparse files of 8 EiB";
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(file.error().message(), HasSubstr("cannot be mapped"));
}

TEST_F(MappedFileTest, NoDescriptorLeaksOnErrors) {
  const auto n_open = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator{});
  };
  const auto before = n_open();
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(MappedFile::open(dir_).ok());
  { const auto file = must_open(make_file("a", 10)); }
  EXPECT_EQ(n_open(), before);
}

TEST_F(MappedFileTest, TruncatedToHalfReadsZerosAndIsPoisoned) {
  const fs::path path = make_file("a", 8 * kPage);
  const fs::path neighbour_path = make_file("b", 8 * kPage);
  const auto file = must_open(path);
  const auto neighbour = must_open(neighbour_path);
  ASSERT_EQ(truncate(path.c_str(), 4 * kPage), 0);
  EXPECT_FALSE(file->poisoned());
  EXPECT_TRUE(file->changed_on_disk());
  errno = 77;
  EXPECT_EQ(count_bytes(*file, 4 * kPage, 8 * kPage, 0), 4 * kPage);
  EXPECT_EQ(errno, 77) << "the signal handler changed errno";
  EXPECT_TRUE(file->poisoned());
  EXPECT_EQ(count_bytes(*file, 0, 4 * kPage, kFill), 4 * kPage) << "the first half is still there";
  EXPECT_EQ(count_bytes(*neighbour, 0, 8 * kPage, kFill), 8 * kPage);
  EXPECT_FALSE(neighbour->poisoned());
}

TEST_F(MappedFileTest, TruncatedToNothingReadsZerosAndIsPoisoned) {
  const fs::path path = make_file("a", 5 * kPage + 100);
  const auto file = must_open(path);
  ASSERT_EQ(truncate(path.c_str(), 0), 0);
  EXPECT_EQ(count_bytes(*file, 0, file->bytes().size(), 0), 5 * kPage + 100);
  EXPECT_TRUE(file->poisoned());
}

TEST_F(MappedFileTest, ReplacedByRenameKeepsServingTheOldFile) {
  const fs::path path = make_file("a", 2 * kPage);
  const auto file = must_open(path);
  fs::rename(make_file("new", 10, 'N'), path);
  EXPECT_EQ(count_bytes(*file, 0, 2 * kPage, kFill), 2 * kPage);
  EXPECT_FALSE(file->poisoned());
  EXPECT_FALSE(file->changed_on_disk());
  EXPECT_EQ(must_open(path)->bytes().size(), 10u);
}

TEST_F(MappedFileTest, DeletedKeepsServing) {
  const fs::path path = make_file("a", 2 * kPage);
  const auto file = must_open(path);
  fs::remove(path);
  EXPECT_EQ(count_bytes(*file, 0, 2 * kPage, kFill), 2 * kPage);
  EXPECT_FALSE(file->poisoned());
}

TEST_F(MappedFileTest, RewrittenInPlaceIsSeen) {
  const fs::path path = make_file("a", 2 * kPage);
  const auto file = must_open(path);
  const timespec times[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  EXPECT_TRUE(file->changed_on_disk());
}

TEST_F(MappedFileTest, ASlotIsCleanWhenItIsUsedAgain) {
  const fs::path path = make_file("a", 2 * kPage);
  {
    const auto file = must_open(path);
    ASSERT_EQ(truncate(path.c_str(), 0), 0);
    EXPECT_EQ(count_bytes(*file, 0, kPage, 0), kPage);
    EXPECT_TRUE(file->poisoned());
  }
  EXPECT_FALSE(must_open(make_file("b", kPage))->poisoned());
}

TEST_F(MappedFileTest, ManyThreadsFaultAtOnce) {
  constexpr size_t kPages = 64;
  constexpr int kThreads = 4;
  for (int round = 0; round < 5; ++round) {
    const fs::path path = make_file("a", kPages * kPage);
    const fs::path other_path = make_file("b", kPages * kPage);
    const auto file = must_open(path);
    const auto other = must_open(other_path);
    ASSERT_EQ(truncate(path.c_str(), 0), 0);
    std::vector<size_t> zeros(kThreads), fills(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        // Each begins at another page, so that remaps overlap in both directions.
        const size_t start = static_cast<size_t>(t) * kPages / kThreads * kPage;
        zeros[t] = count_bytes(*file, start, kPages * kPage, 0) + count_bytes(*file, 0, start, 0);
        fills[t] = count_bytes(*other, 0, kPages * kPage, kFill);
      });
    }
    for (auto& thread : threads) thread.join();
    for (int t = 0; t < kThreads; ++t) {
      EXPECT_EQ(zeros[t], kPages * kPage);
      EXPECT_EQ(fills[t], kPages * kPage);
    }
    EXPECT_TRUE(file->poisoned());
    EXPECT_FALSE(other->poisoned());
  }
}

TEST_F(MappedFileTest, AnotherProcessMayTruncate) {
  const fs::path path = make_file("a", 4 * kPage);
  const auto file = must_open(path);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(truncate(path.c_str(), kPage) == 0 ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(count_bytes(*file, kPage, 4 * kPage, 0), 3 * kPage);
  EXPECT_TRUE(file->poisoned());
}

// Runs `action` in a child after the handler is in place; returns the wait status.
template <typename Action>
int status_of_child(const fs::path& path, Action action) {
  const auto file = must_open(path);
  const pid_t child = fork();
  if (child == 0) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    close(STDERR_FILENO);  // a sanitizer's report of the intended crash
    action();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(MappedFileTest, AForeignFaultStillEndsTheProcess) {
  const fs::path path = make_file("a", kPage);
  const fs::path foreign = make_file("foreign", kPage);
  const int status = status_of_child(path, [&foreign] {
    const int descriptor = ::open(foreign.c_str(), O_RDWR);
    void* data = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, descriptor, 0);
    if (ftruncate(descriptor, 0) != 0) _exit(9);
    static_cast<void>(*static_cast<const volatile char*>(data));
  });
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

TEST_F(MappedFileTest, ASentSignalStillEndsTheProcess) {
  const int status =
      status_of_child(make_file("a", kPage), [] { static_cast<void>(kill(getpid(), SIGBUS)); });
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace quern
