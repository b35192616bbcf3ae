// Models in several files: joined when complete, and each way to mix them up has its sentence
// (docs/reliability.md G-24).
#include "models/gguf/split_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/models/gguf/raw_gguf.h"

namespace quern::gguf {
namespace {

namespace fs = std::filesystem;
using raw::le;
using ::testing::HasSubstr;

class SplitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "quern-split-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    for (uint16_t i = 0; i < 3; ++i) write(i, part(i));
  }
  void TearDown() override { fs::remove_all(dir_); }

  static raw::File part(uint16_t number, uint16_t count = 3) {
    raw::File file;
    file.pairs = {raw::pair("split.no", 2, le(number)), raw::pair("split.count", 2, le(count)),
                  raw::pair("split.tensors.count", 5, le<int32_t>(3))};
    if (number == 0) file.pairs.push_back(raw::pair_text("general.architecture", "llama"));
    file.tensors = {raw::tensor("t" + std::to_string(number), {32}, 24, 0)};
    file.data = std::string(32, static_cast<char>('0' + number));
    return file;
  }
  fs::path path(int number) const {
    return dir_ / ("model-0000" + std::to_string(number + 1) + "-of-00003.gguf");
  }
  void write(int number, const raw::File& file) const {
    std::ofstream(path(number), std::ios::binary) << file.bytes();
  }
  std::string error(int opened = 0) const {
    const auto file = GgufFile::open(path(opened));
    return file.ok() ? "opened" : file.error().message();
  }

  fs::path dir_;
};

TEST_F(SplitTest, PartsAreJoined) {
  const auto file = GgufFile::open(path(0));
  ASSERT_TRUE(file.ok()) << file.error().message();
  ASSERT_EQ((*file)->tensors().size(), 3u);
  for (int i = 0; i < 3; ++i) {
    const TensorInfo* tensor = (*file)->find_tensor("t" + std::to_string(i));
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->shard, i);
    EXPECT_EQ(tensor->data[31], static_cast<std::byte>('0' + i));
  }
  EXPECT_EQ((*file)->file_bytes(), fs::file_size(path(0)) * 2 + fs::file_size(path(0)) -
                                       (fs::file_size(path(0)) - fs::file_size(path(1))) * 2);
  EXPECT_EQ(*(*file)->metadata().get_string("general.architecture"), "llama");
  fs::resize_file(path(2), 0);
  EXPECT_FALSE((*file)->poisoned());
  const volatile std::byte* lost = (*file)->find_tensor("t2")->data.data();
  EXPECT_TRUE(lost[0] == std::byte{0});
  EXPECT_TRUE((*file)->poisoned());
}

TEST_F(SplitTest, AMissingPartIsNamed) {
  fs::remove(path(1));
  EXPECT_THAT(error(), HasSubstr("part 2 of 3 is missing"));
  EXPECT_THAT(error(), HasSubstr("model-00002-of-00003.gguf"));
  EXPECT_EQ(GgufFile::open(path(0)).error().kind(), ErrorKind::kNotFound);
}

TEST_F(SplitTest, SwappedAndRepeatedPartsAreRefused) {
  write(1, part(2));
  EXPECT_THAT(error(), HasSubstr("says it is part 3 of 3, expected part 2 of 3"));
  write(1, part(1, 4));
  EXPECT_THAT(error(), HasSubstr("says it is part 2 of 4"));
}

TEST_F(SplitTest, APartOfAnotherModelIsRefused) {
  raw::File other = part(1);
  other.pairs.push_back(raw::pair_text("general.architecture", "qwen2"));
  write(1, other);
  EXPECT_THAT(error(), HasSubstr("another model (its general.architecture differs)"));

  other = part(1);
  other.tensors = {raw::tensor("t0", {32}, 24, 0)};
  write(1, other);
  EXPECT_THAT(error(), HasSubstr("tensor 't0' appears twice"));

  other = part(1);
  other.tensors.clear();
  other.data.clear();
  write(1, other);
  EXPECT_THAT(error(), HasSubstr("promises 3 tensors, but the parts hold 2"));
}

TEST_F(SplitTest, TheFirstPartMustBeOpened) {
  EXPECT_THAT(error(1), HasSubstr("open the part whose name ends in '-00001-of-00003.gguf'"));
}

TEST_F(SplitTest, TheNameMustShowThePart) {
  fs::rename(path(0), dir_ / "renamed.gguf");
  const auto file = GgufFile::open(dir_ / "renamed.gguf");
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(file.error().message(), HasSubstr("must end in '-00001-of-00003.gguf'"));
}

TEST_F(SplitTest, AnUnsplitPartIsRefused) {
  write(2, raw::small_file());
  EXPECT_THAT(error(), HasSubstr("key 'split.no' is missing"));
  raw::File truncated = part(2);
  truncated.data.resize(10);
  write(2, truncated);
  EXPECT_THAT(error(), HasSubstr("truncated"));
}

TEST(SplitNames, FollowThePattern) {
  EXPECT_EQ(shard_path("/m/a-00001-of-00012.gguf", 11, 12), fs::path("/m/a-00012-of-00012.gguf"));
  EXPECT_FALSE(shard_path("/m/a-00002-of-00012.gguf", 1, 12));
  EXPECT_FALSE(shard_path("/m/a.gguf", 1, 2));
}

}  // namespace
}  // namespace quern::gguf
