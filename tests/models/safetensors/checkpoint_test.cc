// Sound files, alone and in parts.
#include "models/safetensors/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/models/safetensors/raw_safetensors.h"

namespace quern::safetensors {
namespace {

namespace fs = std::filesystem;
using raw::entry;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "quern-safetensors-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  std::string error_of_folder() const {
    const auto opened = Checkpoint::open(folder_);
    return opened.ok() ? "accepted" : opened.error().message();
  }
  // Two parts, of one tensor each, and their index.
  void write_parts(const std::string& index) const {
    write("m-1.safetensors", raw::file("{" + entry("a", "U8", "[2]", 0, 2) + "}", "12"));
    write("m-2.safetensors", raw::file("{" + entry("b", "U8", "[3]", 0, 3) + "}", "345"));
    write("model.safetensors.index.json", index);
  }

  fs::path folder_;
};

constexpr char kIndex[] =
    R"({"metadata": {"total_size": 5}, "weight_map": {"b": "m-2.safetensors", "a": "m-1.safetensors"}})";

// Written by the reference implementation: every type, a scalar, an empty tensor.
TEST(Golden, EveryTypeOfTheReferenceWriter) {
  const auto opened = Checkpoint::open(std::string(QUERN_SOURCE_DIR) +
                                       "/tests/golden/safetensors/every_dtype.safetensors");
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  const Checkpoint& file = **opened;
  EXPECT_EQ(file.tensors().size(), 17u);
  EXPECT_EQ(file.metadata().front(), std::make_pair(std::string("format"), std::string("pt")));
  const std::vector<float> expected = {0.0f, 1.0f, -2.5f, 0.15625f, 448.0f, -0.001953125f};
  int n_floats = 0;
  for (const Tensor& tensor : file.tensors()) {
    if (!is_float(tensor.dtype) || tensor.n_values() != 6) continue;
    ++n_floats;
    EXPECT_THAT(tensor.shape, ElementsAre(2, 3));
    std::vector<float> values(6);
    decode_floats(tensor.dtype, tensor.data.data(), values.data(), 6);
    // What the narrow types cannot hold is next to it.
    const bool narrow = dtype_bytes(tensor.dtype) == 1;
    for (size_t i = 0; i < 6; ++i) {
      EXPECT_NEAR(values[i], expected[i], narrow ? std::fabs(expected[i]) / 7 : 0) << tensor.name;
    }
  }
  EXPECT_EQ(n_floats, 6);
  EXPECT_EQ(file.find("scalar")->n_values(), 1u);
  EXPECT_TRUE(file.find("nothing")->data.empty());
  EXPECT_EQ(describe(*file.find("uint16")), "U16 [2, 3]");
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST_F(CheckpointTest, FolderWithOneFile) {
  write("model.safetensors", raw::small_file());
  const auto opened = Checkpoint::open(folder_);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  EXPECT_EQ((*opened)->tensors().size(), 2u);
  EXPECT_EQ((*opened)->find("b")->data[3], std::byte{'z'});
  EXPECT_FALSE((*opened)->poisoned());
}

TEST_F(CheckpointTest, PartsThroughTheIndex) {
  write_parts(kIndex);
  for (const fs::path& path : {folder_, folder_ / "model.safetensors.index.json"}) {
    const auto opened = Checkpoint::open(path);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    const Tensor* b = (*opened)->find("b");
    ASSERT_NE(b, nullptr);
    EXPECT_EQ(b->shard, 1);
    EXPECT_THAT((*opened)->label_of(*b), HasSubstr("m-2.safetensors"));
    EXPECT_EQ(b->data[0], std::byte{'3'});
  }
}

TEST_F(CheckpointTest, IndexesThatDoNotFit) {
  write_parts(R"({"weight_map": {"a": "m-1.safetensors", "b": "m-3.safetensors"}})");
  EXPECT_THAT(error_of_folder(), HasSubstr("m-3.safetensors: no such file"));
  write_parts(R"({"weight_map": {"a": "m-1.safetensors", "c": "m-2.safetensors"}})");
  EXPECT_THAT(error_of_folder(), HasSubstr("names tensor 'c', which no part holds"));
  write_parts(R"({"weight_map": {"a": "../m-1.safetensors"}})");
  EXPECT_THAT(error_of_folder(), HasSubstr("no file name"));
  write_parts(R"({"weight_map": {"a": 1}})");
  EXPECT_THAT(error_of_folder(), HasSubstr("no file name"));
  write_parts(R"({"weight_map": {}})");
  EXPECT_THAT(error_of_folder(), HasSubstr("names 0 files"));
  write_parts("[]");
  EXPECT_THAT(error_of_folder(), HasSubstr("no weight_map"));
  write_parts(kIndex);
  write("m-2.safetensors",
        raw::file("{" + entry("a", "U8", "[2]", 0, 2) + "," + entry("b", "U8", "[3]", 2, 5) + "}",
                  "12345"));
  EXPECT_THAT(error_of_folder(), HasSubstr("tensor 'a' is in another part too"));
}

TEST_F(CheckpointTest, FolderWithoutWeights) {
  EXPECT_THAT(error_of_folder(), HasSubstr("holds neither model.safetensors nor"));
}

// The process lives on, and the owner can tell.
TEST_F(CheckpointTest, FileCutShortUnderTheMapping) {
  write("model.safetensors",
        raw::file("{" + entry("a", "U8", "[65536]", 0, 65536) + "}", std::string(65536, 'x')));
  const auto opened = Checkpoint::open(folder_);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  ASSERT_EQ(truncate((folder_ / "model.safetensors").c_str(), 8), 0);
  volatile std::byte last = (*opened)->find("a")->data[65535];
  static_cast<void>(last);
  EXPECT_TRUE((*opened)->poisoned());
  EXPECT_TRUE((*opened)->changed_on_disk());
}

}  // namespace
}  // namespace quern::safetensors
