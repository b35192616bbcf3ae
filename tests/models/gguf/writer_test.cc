// The writer: what it writes reads back equal, files appear whole or not at all, and nothing is
// written that the reader would refuse.
#include "models/gguf/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "models/gguf/atomic_file.h"
#include "tests/models/gguf/raw_gguf.h"

namespace quern::gguf {
namespace {

namespace fs = std::filesystem;
using formats::FormatId;
using ::testing::HasSubstr;

std::vector<std::byte> write_again(const GgufFile& file) {
  GgufWriter writer;
  EXPECT_TRUE(writer.copy_header(file).ok());
  std::vector<std::byte> bytes;
  auto output = writer.create_in(bytes);
  EXPECT_TRUE(output.ok());
  for (const TensorInfo& tensor : file.tensors()) {
    EXPECT_TRUE((*output)->write_tensor(tensor.data).ok());
  }
  EXPECT_TRUE((*output)->finish().ok());
  return bytes;
}

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool same_bytes(const std::vector<std::byte>& written, std::string_view expected) {
  return std::string_view(reinterpret_cast<const char*>(written.data()), written.size()) ==
         expected;
}

TEST(Writer, WritesBackHandMadeBytesUnchanged) {
  for (const uint32_t version : {2u, 3u}) {
    raw::File source = raw::small_file();
    source.version = version;
    source.data.replace(32 + 16, 16, 16, '\0');  // padding behind t.f16 and t.q8
    source.data.replace(64 + 68, 28, 28, '\0');
    const std::string bytes = source.bytes();
    const auto file = GgufFile::from_bytes(raw::as_bytes(bytes), "test");
    ASSERT_TRUE(file.ok()) << file.error().message();
    EXPECT_TRUE(same_bytes(write_again(**file), bytes));
  }
}

TEST(Writer, WritesBackRealVocabulariesUnchanged) {
  const fs::path dir = fs::path(QUERN_SHARED_DATA_DIR) / "tokenizers";
  if (!fs::exists(dir)) GTEST_SKIP() << "no reference data at " << dir;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() != ".gguf") continue;
    const auto file = GgufFile::open(entry.path());
    ASSERT_TRUE(file.ok()) << file.error().message();
    EXPECT_TRUE(same_bytes(write_again(**file), slurp(entry.path()))) << entry.path();
  }
}

TEST(Writer, TensorsMayComeInParts) {
  GgufWriter writer;
  writer.metadata().set("general.alignment", uint32_t{64});
  const uint64_t dims[] = {10};
  ASSERT_TRUE(writer.add_tensor("a", FormatId::kI8, dims).ok());
  ASSERT_TRUE(writer.add_tensor("b", FormatId::kF32, dims).ok());
  std::vector<std::byte> bytes;
  auto output = *writer.create_in(bytes);
  const std::vector<std::byte> a(10, std::byte{7}), b(40, std::byte{9});
  EXPECT_TRUE(output->write(std::span(a).first(3)).ok());
  EXPECT_TRUE(output->write({}).ok());
  EXPECT_TRUE(output->write(std::span(a).subspan(3)).ok());
  EXPECT_FALSE(output->finish().ok()) << "b is missing";
  EXPECT_FALSE(output->write_tensor(a).ok()) << "wrong size";
  EXPECT_TRUE(output->write_tensor(b).ok());
  EXPECT_FALSE(output->write(a).ok()) << "beyond the last tensor";
  EXPECT_TRUE(output->finish().ok());
  EXPECT_EQ(bytes.size() % 64, 0u);
  const auto file = GgufFile::from_bytes(bytes, "parts");
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_TRUE(std::ranges::equal((*file)->find_tensor("a")->data, a));
  EXPECT_TRUE(std::ranges::equal((*file)->find_tensor("b")->data, b));
}

TEST(Writer, RefusesWhatTheReaderWouldRefuse) {
  GgufWriter writer;
  const uint64_t one[] = {1};
  const uint64_t zero[] = {0};
  const uint64_t odd[] = {33};
  const uint64_t huge[] = {uint64_t{1} << 62, 4};
  const uint64_t five[] = {1, 1, 1, 1, 1};
  EXPECT_FALSE(writer.add_tensor("", FormatId::kF32, one).ok());
  EXPECT_FALSE(writer.add_tensor("a\n", FormatId::kF32, one).ok());
  EXPECT_FALSE(writer.add_tensor("../a", FormatId::kF32, one).ok());
  EXPECT_FALSE(writer.add_tensor(std::string(64, 'a'), FormatId::kF32, one).ok());
  EXPECT_FALSE(writer.add_tensor("a", FormatId::kF32, {}).ok());
  EXPECT_FALSE(writer.add_tensor("a", FormatId::kF32, five).ok());
  EXPECT_FALSE(writer.add_tensor("a", FormatId::kF32, zero).ok());
  EXPECT_FALSE(writer.add_tensor("a", FormatId::kQ8_0, odd).ok());
  EXPECT_FALSE(writer.add_tensor("a", FormatId::kF32, huge).ok());
  EXPECT_FALSE(writer.set_version(1).ok());
  EXPECT_TRUE(writer.header().ok());
  ASSERT_TRUE(writer.add_tensor("a", FormatId::kF32, one).ok());
  ASSERT_TRUE(writer.add_tensor("a", FormatId::kF32, one).ok());
  EXPECT_THAT(writer.header().error().message(), HasSubstr("appears twice"));
  const auto header_of = [](std::string key, Value value) {
    GgufWriter other;
    other.metadata().set(std::move(key), std::move(value));
    return other.header().ok();
  };
  EXPECT_TRUE(header_of("general.alignment", uint32_t{8}));
  EXPECT_FALSE(header_of("general.alignment", uint32_t{3}));
  EXPECT_FALSE(header_of("general.alignment", uint64_t{32}));
  EXPECT_FALSE(header_of("a\nb", true));
  EXPECT_FALSE(header_of(std::string(65536, 'k'), true));
  EXPECT_FALSE(header_of("k", std::string((16u << 20) + 1, 'x')));
  EXPECT_FALSE(header_of("k", BoolArray{{0, 1, 2}}));
}

class WriterFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "quern-writer-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { fs::remove_all(dir_); }
  size_t n_files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(dir_), {}));
  }
  fs::path dir_;
};

TEST_F(WriterFileTest, TheFileAppearsWhenItIsFinished) {
  const fs::path path = dir_ / "x.gguf";
  GgufWriter writer;
  writer.metadata().set("general.name", std::string("x"));
  auto output = writer.create(path);
  ASSERT_TRUE(output.ok()) << output.error().message();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(writer.create(path).error().kind(), ErrorKind::kBusy) << "two writers at once";
  ASSERT_TRUE((*output)->finish().ok());
  EXPECT_EQ(n_files(), 1u);
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ(*(*file)->metadata().get_string("general.name"), "x");
}

TEST_F(WriterFileTest, AnAbandonedFileLeavesTheOldOne) {
  const fs::path path = dir_ / "x.gguf";
  std::ofstream(path) << "old";
  {
    GgufWriter writer;
    auto output = writer.create(path);
    ASSERT_TRUE(output.ok());
    EXPECT_EQ(n_files(), 2u);
  }
  EXPECT_EQ(n_files(), 1u);
  EXPECT_EQ(slurp(path), "old");
}

TEST_F(WriterFileTest, ALeftoverOfAKilledProcessIsTakenOver) {
  const fs::path path = dir_ / "x.gguf";
  std::ofstream(path.string() + ".tmp-" + std::to_string(getpid())) << std::string(9999, 'z');
  GgufWriter writer;
  auto output = writer.create(path);
  ASSERT_TRUE(output.ok()) << output.error().message();
  ASSERT_TRUE((*output)->finish().ok());
  EXPECT_TRUE(GgufFile::open(path).ok());
  EXPECT_EQ(fs::file_size(path), 24u);
}

TEST_F(WriterFileTest, AFullDiskIsAnErrorAndLeavesNothing) {
  const fs::path path = dir_ / "x.gguf";
  auto file = AtomicFile::create(path);
  ASSERT_TRUE(file.ok());
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::vector<std::byte> bytes(8192);
  const Status status = (*file)->write(bytes);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind(), ErrorKind::kIo);
  EXPECT_THAT(status.error().message(), HasSubstr("free space"));
  file->reset();
  EXPECT_EQ(n_files(), 0u);
}

TEST_F(WriterFileTest, AMissingFolderIsAnError) {
  GgufWriter writer;
  const auto output = writer.create(dir_ / "no" / "x.gguf");
  ASSERT_FALSE(output.ok());
  EXPECT_THAT(output.error().message(), HasSubstr("cannot create a file here"));
}

}  // namespace
}  // namespace quern::gguf
