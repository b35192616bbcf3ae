// The store of quantized models: made once, found again, bounded, safe with several writers and
// whatever a killed one left.
#include "models/convert/quantized_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "models/convert/synth.h"
#include "models/gguf/atomic_file.h"
#include "tests/engine/store/scratch_directory.h"

namespace quern::convert {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class QuantizedStoreTest : public ::testing::Test {
 protected:
  QuantizedStore open(uint64_t max_bytes = 1000, QuantizedStoreOptions options = {}) const {
    options.directory = folder();
    options.max_bytes = max_bytes;
    auto store = QuantizedStore::open(std::move(options));
    EXPECT_TRUE(store.ok()) << store.error().message();
    return std::move(store).value();
  }
  fs::path folder() const { return scratch_.path() / "kept"; }

  // Writes `bytes` bytes, as quantizing would.
  Status write(const fs::path& path, uint64_t bytes) {
    ++n_made_;
    QUERN_ASSIGN_OR_RETURN(const auto file, gguf::AtomicFile::create(path));
    const std::vector<std::byte> zeros(bytes);
    QUERN_RETURN_IF_ERROR(file->write(zeros));
    return file->commit();
  }
  std::unique_ptr<const StoredModel> get(const QuantizedStore& store, uint8_t key, uint64_t bytes) {
    auto got =
        store.get(digest(key), bytes, [&](const fs::path& path) { return write(path, bytes); });
    EXPECT_TRUE(got.ok()) << got.error().message();
    return got.ok() ? std::move(got).value() : nullptr;
  }
  static Digest digest(uint8_t key) {
    Digest out{};
    out[0] = key;
    return out;
  }
  size_t n_kept() const {
    size_t n = 0;
    for (const auto& entry : fs::directory_iterator(folder())) {
      n += entry.path().extension() == ".gguf" ? 1 : 0;
    }
    return n;
  }

  tests::ScratchDirectory scratch_;
  std::atomic<int> n_made_{0};
};

TEST_F(QuantizedStoreTest, MakesOnceAndFindsAgain) {
  const QuantizedStore store = open();
  const auto first = get(store, 1, 100);
  EXPECT_TRUE(first->made());
  EXPECT_EQ(fs::file_size(first->path()), 100U);
  EXPECT_FALSE(get(store, 1, 100)->made());
  EXPECT_FALSE(get(open(), 1, 100)->made());  // another process, as it were
  EXPECT_TRUE(get(store, 2, 100)->made());
  EXPECT_EQ(n_made_, 2);
}

TEST_F(QuantizedStoreTest, AFileOfAnotherSizeOrOneThatIsDamagedIsMadeAgain) {
  const QuantizedStore store = open();
  const fs::path path = get(store, 1, 100)->path();
  fs::resize_file(path, 40);
  EXPECT_TRUE(get(store, 1, 100)->made());
  store.forget(digest(1));
  EXPECT_TRUE(get(store, 1, 100)->made());
}

TEST_F(QuantizedStoreTest, TheLeastRecentlyUsedGoFirst) {
  const QuantizedStore store = open(300);
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  for (const uint8_t key :
       std::vector<uint8_t>{1, 2, 3, 1}) {  // 2 is the one not used for the longest time
    get(store, key, 100);
    pause();
  }
  get(store, 4, 100);
  EXPECT_EQ(n_kept(), 3U);
  EXPECT_FALSE(get(store, 1, 100)->made());
  EXPECT_FALSE(get(store, 3, 100)->made());
  EXPECT_TRUE(get(store, 2, 100)->made());
}

TEST_F(QuantizedStoreTest, WhatIsInUseStays) {
  const QuantizedStore store = open(200);
  const auto used = get(store, 1, 100);
  get(store, 2, 100);
  get(store, 3, 100);
  EXPECT_TRUE(fs::exists(used->path()));
  const auto other = get(store, 4, 100);
  const auto refused =
      store.get(digest(5), 100, [&](const fs::path& path) { return write(path, 100); });
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("in use take 200 of the 200 bytes"));
  const auto large =
      store.get(digest(6), 201, [&](const fs::path& path) { return write(path, 201); });
  ASSERT_FALSE(large.ok());
  EXPECT_THAT(large.error().message(), HasSubstr("raise --cache-bytes"));
}

TEST_F(QuantizedStoreTest, WhatAKilledWriterLeftIsRemoved) {
  const QuantizedStore store = open();
  const fs::path left = folder() / "abc.gguf.tmp-12345";
  std::ofstream(left) << "half";
  get(store, 1, 100);
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(QuantizedStoreTest, AFailedAttemptLeavesNothing) {
  const QuantizedStore store = open();
  const auto failed = store.get(digest(1), 100, [&](const fs::path&) {
    return Status(Error(ErrorKind::kCancelled, "interrupted"));
  });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().kind(), ErrorKind::kCancelled);
  EXPECT_EQ(n_kept(), 0U);
  EXPECT_TRUE(get(store, 1, 100)->made());
}

// flock belongs to the open file, so two stores stand for two processes.
TEST_F(QuantizedStoreTest, OneMakesAndTheOthersWaitAndFind) {
  std::atomic<int> n_waited{0};
  std::atomic<int> n_found{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const QuantizedStore store = open(1000, {.waiting = [&] { ++n_waited; }});
      const auto got = store.get(digest(1), 100, [&](const fs::path& path) {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        return write(path, 100);
      });
      if (got.ok() && !(*got)->made()) ++n_found;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_made_, 1);
  EXPECT_EQ(n_found, 3);
  EXPECT_EQ(n_waited, 3);
}

TEST_F(QuantizedStoreTest, WaitingCanBeStopped) {
  std::atomic<bool> stop{false};
  const QuantizedStore first = open();
  const QuantizedStore second = open(1000, {.waiting = [&] { stop.store(true); }, .stop = &stop});
  const auto outer = first.get(digest(1), 100, [&](const fs::path& path) {
    const auto inner =
        second.get(digest(2), 100, [&](const fs::path& other) { return write(other, 100); });
    EXPECT_FALSE(inner.ok());
    if (!inner.ok()) {
      EXPECT_EQ(inner.error().kind(), ErrorKind::kCancelled);
    }
    return write(path, 100);
  });
  EXPECT_TRUE(outer.ok());
}

TEST_F(QuantizedStoreTest, AFolderThatEverybodyCanWriteToIsRefused) {
  fs::create_directories(folder());
  ASSERT_EQ(chmod(folder().c_str(), 0777), 0);
  const auto store = QuantizedStore::open({.directory = folder(), .max_bytes = 1});
  ASSERT_FALSE(store.ok());
  EXPECT_THAT(store.error().message(), HasSubstr("by everybody"));
}

TEST_F(QuantizedStoreTest, KeysFollowContentsAndFormats) {
  SynthOptions options;
  options.shape = "tiny";
  options.format = "F16";
  const auto path = scratch_.path() / "in.gguf";
  ASSERT_TRUE(write_synthetic_model(options, path).ok());
  const auto file = gguf::GgufFile::open(path);
  ASSERT_TRUE(file.ok());
  const auto key = [&](uint8_t source, std::string_view recipe) {
    QuantizeChoices choices;
    choices.recipe = find_recipe(recipe);
    return quantized_key(digest(source), *plan_quantization(**file, choices));
  };
  EXPECT_EQ(key(1, "Q4_K_M"), key(1, "Q4_K_M"));
  EXPECT_NE(key(1, "Q4_K_M"), key(2, "Q4_K_M"));
  EXPECT_NE(key(1, "Q4_K_M"), key(1, "Q4_K_S"));
}

}  // namespace
}  // namespace quern::convert
