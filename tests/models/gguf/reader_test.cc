// What a well-formed file gives: values, tensors, labels, and the freedoms the reader allows.
#include "models/gguf/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/models/gguf/raw_gguf.h"

namespace quern::gguf {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<std::shared_ptr<const GgufFile>> parse(const std::string& bytes) {
  return GgufFile::from_bytes(raw::as_bytes(bytes), "test.gguf");
}

TEST(Reader, ReadsAllKindsOfValues) {
  const std::string bytes = raw::small_file().bytes();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.error().message();
  const Metadata& meta = (*file)->metadata();
  EXPECT_EQ((*file)->version(), 3u);
  EXPECT_EQ((*file)->alignment(), 32u);
  EXPECT_EQ((*file)->label(), "test.gguf");
  EXPECT_EQ((*file)->file_bytes(), bytes.size());
  EXPECT_FALSE((*file)->poisoned());
  EXPECT_EQ(*meta.get_string("general.architecture"), "llama");
  EXPECT_EQ(*meta.get_uint("a.u8"), 200u);
  EXPECT_EQ(**meta.find_int("a.i8"), -5);
  EXPECT_EQ(*meta.get_uint("a.u16"), 60000u);
  EXPECT_EQ(**meta.find_int("a.i16"), -30000);
  EXPECT_EQ(*meta.get_uint("a.u32"), 4'000'000'000u);
  EXPECT_EQ(**meta.find_int("a.i32"), -7);
  EXPECT_EQ(*meta.get_float("a.f32"), 1.5);
  EXPECT_TRUE(*meta.get_bool("a.bool"));
  EXPECT_EQ(*meta.get_uint("a.u64"), 1ull << 63);
  EXPECT_EQ(**meta.find_int("a.i64"), -1);
  EXPECT_EQ(*meta.get_float("a.f64"), 2.25);
  EXPECT_THAT(**meta.find_array<int32_t>("b.i32"), ElementsAre(1, 2, 3));
  EXPECT_THAT(**meta.find_array<float>("b.f32"), ElementsAre(1.0f, 2.0f));
  EXPECT_THAT(std::get<BoolArray>(*meta.find("b.bool")).values, ElementsAre(1, 0));
  EXPECT_THAT(**meta.find_array<std::string>("b.text"), ElementsAre("one", ""));
  EXPECT_TRUE((*meta.find_array<std::string>("b.empty"))->empty());
  EXPECT_EQ(meta.entries().front().first, "general.architecture");
  EXPECT_EQ(meta.entries().back().first, "b.empty");
}

TEST(Reader, IndexesTensors) {
  const std::string bytes = raw::small_file().bytes();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.error().message();
  ASSERT_EQ((*file)->tensors().size(), 3u);
  const TensorInfo* q8 = (*file)->find_tensor("t.q8");
  ASSERT_NE(q8, nullptr);
  EXPECT_EQ(q8->format, formats::FormatId::kQ8_0);
  EXPECT_EQ(q8->n_dims, 2);
  EXPECT_THAT(q8->dims, ElementsAre(32, 2, 1, 1));
  EXPECT_EQ(q8->n_values(), 64u);
  EXPECT_EQ(q8->n_rows(), 2u);
  EXPECT_EQ(q8->data.size(), 68u);
  EXPECT_EQ(q8->shard, 0);
  EXPECT_EQ((*file)->find_tensor("t.f32")->data.data() + 64, q8->data.data());
  EXPECT_EQ((*file)->find_tensor("absent"), nullptr);
}

TEST(Reader, AllowsWhatDoesNoHarm) {
  raw::File file = raw::small_file();
  file.version = 2;
  EXPECT_TRUE(parse(file.bytes()).ok()) << "version 2";

  file = raw::small_file();
  EXPECT_TRUE(parse(file.bytes() + "trailing").ok()) << "bytes behind the last tensor";
  file.data.resize(64 + 68);
  EXPECT_TRUE(parse(file.bytes()).ok()) << "no padding behind the last tensor";

  file = raw::small_file();
  file.tensors = {raw::tensor("late", {8}, 0, 96), raw::tensor("early", {8}, 0, 0)};
  EXPECT_TRUE(parse(file.bytes()).ok()) << "gap, decreasing order";

  file = raw::File();
  EXPECT_TRUE(parse(file.bytes()).ok()) << "no keys, no tensors";
  EXPECT_TRUE(parse(file.bytes() + std::string(5, 'x')).ok()) << "nothing but trailing bytes";

  file = raw::small_file();
  file.pairs.push_back(raw::pair_text("\xc3\xa9t\xc3\xa9", "value with \n and \xff is a value"));
  EXPECT_TRUE(parse(file.bytes()).ok()) << "UTF-8 key, arbitrary value";
}

TEST(Reader, ObeysTheAlignment) {
  for (const uint32_t alignment : {1u, 2u, 8u, 64u, 4096u, 65536u}) {
    raw::File file;
    file.alignment = alignment;
    file.pairs = {raw::pair_u32("general.alignment", alignment)};
    file.tensors = {raw::tensor("x", {3}, 24, 0)};  // I8
    file.data = "abc";
    const std::string bytes = file.bytes();
    const auto result = parse(bytes);
    ASSERT_TRUE(result.ok()) << result.error().message();
    EXPECT_EQ((*result)->alignment(), alignment);
    const auto data = (*result)->find_tensor("x")->data;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(data.data()), data.size()), "abc");
  }
}

TEST(Reader, OpensRealVocabularies) {
  const std::filesystem::path dir = std::filesystem::path(QUERN_SHARED_DATA_DIR) / "tokenizers";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << "no reference data at " << dir;
  int n_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().extension() != ".gguf") continue;
    ++n_files;
    const auto file = GgufFile::open(entry.path());
    ASSERT_TRUE(file.ok()) << file.error().message();
    const auto tokens = (*file)->metadata().find_array<std::string>("tokenizer.ggml.tokens");
    ASSERT_TRUE(tokens.ok());
    EXPECT_GT((*tokens)->size(), 30'000u) << entry.path();
  }
  EXPECT_GE(n_files, 6);
}

class ReaderFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() /
            ("quern-reader-" + std::to_string(getpid()) + ".gguf");
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void write(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }
  std::filesystem::path path_;
};

TEST_F(ReaderFileTest, AnEmptyFileIsNamed) {
  write("");
  const auto file = GgufFile::open(path_);
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(file.error().message(), HasSubstr("the file is empty"));
  EXPECT_THAT(file.error().message(), HasSubstr(path_.string()));
}

TEST_F(ReaderFileTest, TruncationAfterOpeningPoisonsTheFile) {
  raw::File source = raw::small_file();
  source.tensors = {raw::tensor("big", {16384}, 0, 0)};
  source.data = std::string(65536, '\x22');
  write(source.bytes());
  const auto file = GgufFile::open(path_);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_FALSE((*file)->changed_on_disk());
  std::filesystem::resize_file(path_, 4096);
  EXPECT_TRUE((*file)->changed_on_disk());
  EXPECT_FALSE((*file)->poisoned());
  const volatile std::byte* data = (*file)->find_tensor("big")->data.data();
  EXPECT_TRUE(data[65535] == std::byte{0});
  EXPECT_TRUE((*file)->poisoned());
  EXPECT_EQ(*(*file)->metadata().get_string("general.architecture"), "llama");
}

// The header changes under the parser (G-59): whatever it sees, it must stay inside its bytes.
TEST_F(ReaderFileTest, AHeaderThatChangesDuringParsingIsHarmless) {
  const std::string bytes = raw::small_file().bytes();
  write(bytes);
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    std::fstream out(path_, std::ios::binary | std::ios::in | std::ios::out);
    const size_t header = raw::small_file().header().size();
    for (size_t i = 0; !stop; i = i * 1103515245 + 12345) {
      const size_t at = 24 + (i >> 16) % (header - 24);
      out.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(0x80 | i)).flush();
      out.seekp(static_cast<std::streamoff>(at)).put(bytes[at]).flush();
    }
  });
  size_t n_opened = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
  while (std::chrono::steady_clock::now() < deadline) {
    const auto file = GgufFile::open(path_);
    if (!file.ok()) continue;
    ++n_opened;
    for (const TensorInfo& tensor : (*file)->tensors()) {
      unsigned sum = 0;
      for (const std::byte b : tensor.data) sum += static_cast<unsigned>(b);
      EXPECT_GT(sum + 1, 0u);
    }
  }
  stop = true;
  changer.join();
  EXPECT_GT(n_opened, 0u);
}

}  // namespace
}  // namespace quern::gguf
