// The directory of computed pages: what was written comes back, whatever was damaged does not, and
// nothing that happens to the disk is more than a loss of time.
#include "engine/store/page_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <thread>

#include "engine/store/page_keys.h"
#include "tests/engine/store/scratch_directory.h"

namespace quern::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSize = 1000;
constexpr uint64_t kFileBytes = kSize + 80;

Digest name(int i) { return Sha256().add_number(static_cast<uint64_t>(i)).finish(); }

std::vector<std::byte> contents(int i, size_t size = kSize) {
  std::vector<std::byte> out(size);
  for (size_t k = 0; k < size; ++k) {
    out[k] = static_cast<std::byte>(static_cast<size_t>(i) * 7 + k);
  }
  return out;
}

class PageStoreTest : public testing::Test {
 protected:
  std::unique_ptr<PageStore> open(uint64_t max_bytes = 1 << 20) {
    auto store = PageStore::open({scratch_.path() / "pages", max_bytes, Log::none(), write_});
    EXPECT_TRUE(store.ok()) << store.error().message();
    return store.ok() ? std::move(*store) : nullptr;
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> out;
    for (const auto& item : fs::directory_iterator(scratch_.path() / "pages")) {
      out.push_back(item.path());
    }
    return out;
  }

  tests::ScratchDirectory scratch_;
  std::function<ssize_t(int, const void*, size_t)> write_;
};

TEST_F(PageStoreTest, WhatWasSavedComesBackAlsoInAnotherProcess) {
  auto store = open();
  EXPECT_FALSE(store->contains(name(1)));
  store->save(name(1), contents(1));
  EXPECT_TRUE(store->contains(name(1)));
  EXPECT_EQ(store->load(name(1), kSize), contents(1));
  EXPECT_EQ(store->counters().bytes, kFileBytes);
  store = open();
  EXPECT_TRUE(store->contains(name(1)));
  EXPECT_EQ(store->load(name(1), kSize), contents(1));
  EXPECT_FALSE(store->load(name(2), kSize).has_value());
  EXPECT_EQ(store->counters().bytes, kFileBytes);
}

TEST_F(PageStoreTest, OnlyTheOwnerMayRead) {
  open()->save(name(1), contents(1));
  ASSERT_EQ(files().size(), 1U);
  struct stat info {};
  ASSERT_EQ(::stat(files()[0].c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat((scratch_.path() / "pages").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_EQ(::chmod((scratch_.path() / "pages").c_str(), 0777), 0);
  EXPECT_FALSE(PageStore::open({scratch_.path() / "pages", 1, Log::none(), nullptr}).ok());
}

// Each byte of the file, and each length.
TEST_F(PageStoreTest, DamagedFilesAreRemoved) {
  constexpr size_t kSmall = 24;
  auto store = open();
  store->save(name(1), contents(1, kSmall));
  const fs::path path = files()[0];
  std::string whole;
  {
    std::ifstream in(path, std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(in), {});
  }
  ASSERT_EQ(whole.size(), kSmall + 80);
  const auto put = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    store->rescan();
  };
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    put(damaged);
    ASSERT_FALSE(store->load(name(1), kSmall).has_value()) << "byte " << i;
    ASSERT_FALSE(fs::exists(path));
    ASSERT_FALSE(store->contains(name(1)));
    put(whole.substr(0, i));
    ASSERT_FALSE(store->load(name(1), kSmall).has_value()) << "length " << i;
  }
  put(whole + "x");
  EXPECT_FALSE(store->load(name(1), kSmall).has_value());
  put(whole);
  EXPECT_FALSE(store->load(name(1), kSmall + 1).has_value()) << "the wrong size is damage too";
  put(whole);
  EXPECT_EQ(store->load(name(1), kSmall), contents(1, kSmall));
  EXPECT_GT(store->counters().damaged, 2 * whole.size());
}

// The file of one page under the name of another.
TEST_F(PageStoreTest, AMisplacedFileIsNotTaken) {
  auto store = open();
  store->save(name(1), contents(1));
  fs::rename(files()[0], scratch_.path() / "pages" / (to_hex(name(2)) + ".page"));
  store->rescan();
  EXPECT_FALSE(store->load(name(2), kSize).has_value());
}

TEST_F(PageStoreTest, AFullDiskLosesNothingElseAndRecovers) {
  auto store = open();
  store->save(name(1), contents(1));
  for (const size_t room : {0, 1, 79, 80, 500, 1079}) {
    size_t left = room;
    write_ = [&left](int fd, const void* data, size_t size) -> ssize_t {
      const size_t put = std::min(left, size);
      if (put == 0) {
        errno = ENOSPC;
        return -1;
      }
      left -= put;
      return ::write(fd, data, put);
    };
    store = open();
    store->save(name(2), contents(2));
    EXPECT_FALSE(store->contains(name(2)));
    EXPECT_EQ(store->counters().failed, 1U);
    EXPECT_EQ(files().size(), 1U) << "nothing half written stays";
    EXPECT_EQ(store->load(name(1), kSize), contents(1));
    left = 1 << 20;
    store->save(name(2), contents(2));
    EXPECT_EQ(store->load(name(2), kSize), contents(2));
    for (const fs::path& path : files()) {
      if (path.filename().string().starts_with(to_hex(name(2)))) fs::remove(path);
    }
  }
}

TEST_F(PageStoreTest, InterruptedAndShortWritesGoOn) {
  int calls = 0;
  write_ = [&calls](int fd, const void* data, size_t size) -> ssize_t {
    if (++calls % 2 == 0) {
      errno = EINTR;
      return -1;
    }
    return ::write(fd, data, std::min<size_t>(size, 7));
  };
  auto store = open();
  store->save(name(1), contents(1));
  EXPECT_EQ(store->load(name(1), kSize), contents(1));
}

TEST_F(PageStoreTest, LeastRecentlyUsedFilesGoFirst) {
  auto store = open(6 * kFileBytes);
  for (int i = 0; i < 5; ++i) {
    store->save(name(i), contents(i));
    std::this_thread::sleep_for(std::chrono::milliseconds(15));
  }
  ASSERT_TRUE(store->load(name(0), kSize).has_value());
  std::this_thread::sleep_for(std::chrono::milliseconds(15));
  for (int i = 5; i < 8; ++i) {
    store->save(name(i), contents(i));
    EXPECT_LE(store->counters().bytes, 6 * kFileBytes);
    std::this_thread::sleep_for(std::chrono::milliseconds(15));
  }
  EXPECT_TRUE(store->contains(name(0)));
  EXPECT_FALSE(store->contains(name(1)));
  EXPECT_TRUE(store->contains(name(7)));
  store->save(name(9), contents(9, 6 * kFileBytes));  // larger than all of it
  EXPECT_FALSE(store->contains(name(9)));
}

TEST_F(PageStoreTest, LeftoversOfADeadProcessGoAndThoseOfALivingOneStay) {
  open()->save(name(1), contents(1));
  const fs::path old = scratch_.path() / "pages" / ".new-1-1-1";
  const fs::path fresh = scratch_.path() / "pages" / ".new-2-2-2";
  std::ofstream(old) << "x";
  std::ofstream(fresh) << "x";
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(2));
  const auto store = open();
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(fresh));
  EXPECT_EQ(store->counters().bytes, kFileBytes);
}

// Two processes on one directory: each sees whole files or none, and together they keep the bound.
TEST_F(PageStoreTest, SeveralUsersOfOneDirectory) {
  constexpr uint64_t kMax = 20 * kFileBytes;
  std::atomic<int> wrong{0};
  std::vector<std::thread> users;
  for (int user = 0; user < 3; ++user) {
    users.emplace_back([&, user] {
      const auto store = open(kMax);
      for (int i = 0; i < 150; ++i) {
        const int page = (i * 7 + user * 3) % 40;
        const auto found = store->load(name(page), kSize);
        if (found && *found != contents(page)) ++wrong;
        if (!found) store->save(name(page), contents(page));
      }
      wrong += store->counters().damaged > 0;
      wrong += store->counters().failed > 0;
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(wrong, 0);
  const auto store = open(kMax);
  store->save(name(1000), contents(1000));
  EXPECT_LE(store->counters().bytes, kMax);
}

TEST(PageKeys, EverythingThatMattersIsInTheName) {
  PageOrigin origin{.model = name(1),
                    .contract = "c1",
                    .backend = "cpu",
                    .kv_format = "1",
                    .context_tokens = 0,
                    .page_tokens = 4,
                    .page_bytes = 100};
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const auto names = [&] { return page_digests(origin_digest(origin), "a", tokens, 4, 100); };
  const auto base = names();
  ASSERT_EQ(base.size(), 2U);
  EXPECT_EQ(base, names());
  std::vector<PageOrigin> others(7, origin);
  others[0].model = name(2);
  others[1].contract = "c2";
  others[2].backend = "cuda";
  others[3].kv_format = "2";
  others[4].context_tokens = 512;
  others[5].page_tokens = 8;
  others[6].page_bytes = 200;
  for (const PageOrigin& other : others) EXPECT_NE(origin_digest(other), origin_digest(origin));
  EXPECT_NE(page_digests(origin_digest(origin), "b", tokens, 4, 100)[0], base[0]);
  std::vector<TokenId> changed = tokens;
  changed[0] = 9;
  const auto late = page_digests(origin_digest(origin), "a", changed, 4, 100);
  EXPECT_NE(late[1], base[1]) << "a page's name covers what comes before it";
  EXPECT_EQ(page_digests(origin_digest(origin), "a", tokens, 4, 1).size(), 1U);
}

}  // namespace
}  // namespace quern::engine
