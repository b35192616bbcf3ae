// Reference rows on disk: what was written comes back, and whatever else is in the file is an
// error.
#include "models/evaluate/reference_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/engine/store/scratch_directory.h"

namespace quern::evaluate {
namespace {

using ::testing::HasSubstr;

ReferenceText some_text() {
  ReferenceText text = {.n_vocab = 100, .context = 8, .n_scored = 3, .n_windows = 2, .tokens = {}};
  text.tokens[0] = 42;
  return text;
}

ReferenceRow some_row(int i) {
  ReferenceRow row;
  row.target_nll = 0.5F + static_cast<float>(i);
  row.rest = 0.125F * static_cast<float>(i);
  for (int e = 0; e <= i; ++e) {
    row.entries.push_back({e * 7, static_cast<uint16_t>(1000 * e + i)});
  }
  return row;
}

class ReferenceFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto writer = ReferenceWriter::create(path_, some_text());
    ASSERT_TRUE(writer.ok()) << writer.error().message();
    for (int i = 0; i < 6; ++i) ASSERT_TRUE((*writer)->add(some_row(i)).ok());
    EXPECT_FALSE(std::filesystem::exists(path_)) << "visible before it is whole";
    ASSERT_TRUE((*writer)->finish().ok());
  }

  std::string bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void replace(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }
  std::string error_of(const ReferenceText& text) {
    const auto reader = ReferenceReader::open(path_, text);
    return reader.ok() ? "opened" : reader.error().message();
  }
  // Of reading all rows; empty when it worked.
  std::string read_all() {
    auto reader = ReferenceReader::open(path_, some_text());
    if (!reader.ok()) return reader.error().message();
    for (int i = 0; i < 6; ++i) {
      const auto row = (*reader)->next();
      if (!row.ok()) return row.error().message();
    }
    return {};
  }

  tests::ScratchDirectory scratch_;
  std::filesystem::path path_ = std::filesystem::path(scratch_.path()) / "model.ref";
};

TEST_F(ReferenceFileTest, RowsComeBack) {
  auto reader = ReferenceReader::open(path_, some_text());
  ASSERT_TRUE(reader.ok()) << reader.error().message();
  for (int i = 0; i < 6; ++i) {
    const auto row = (*reader)->next();
    ASSERT_TRUE(row.ok()) << row.error().message();
    const ReferenceRow expected = some_row(i);
    EXPECT_EQ(row->target_nll, expected.target_nll);
    EXPECT_EQ(row->rest, expected.rest);
    ASSERT_EQ(row->entries.size(), expected.entries.size());
    for (size_t e = 0; e < expected.entries.size(); ++e) {
      EXPECT_EQ(row->entries[e].token, expected.entries[e].token);
      EXPECT_EQ(row->entries[e].steps, expected.entries[e].steps);
    }
  }
  EXPECT_THAT((*reader)->next().error().message(), HasSubstr("the file ends"));
}

TEST_F(ReferenceFileTest, AnotherTextIsNamed) {
  ReferenceText other = some_text();
  other.n_vocab = 99;
  EXPECT_THAT(error_of(other), HasSubstr("a vocabulary of 100 tokens instead of 99"));
  other = some_text();
  other.context = 16;
  EXPECT_THAT(error_of(other), HasSubstr("windows of 8 tokens instead of 16"));
  other = some_text();
  other.n_windows = 5;
  EXPECT_THAT(error_of(other), HasSubstr("2 windows instead of 5"));
  other = some_text();
  other.tokens[0] = 1;
  EXPECT_THAT(error_of(other), HasSubstr("the tokens of another text"));
  replace("GGUF and so on");
  EXPECT_THAT(error_of(some_text()), HasSubstr("no file of reference probabilities"));
}

TEST_F(ReferenceFileTest, EveryTruncationIsAnError) {
  const std::string whole = bytes();
  for (size_t n = 0; n < whole.size(); ++n) {
    replace(whole.substr(0, n));
    EXPECT_NE(read_all(), "") << n;
  }
  replace(whole);
  EXPECT_EQ(read_all(), "");
}

TEST_F(ReferenceFileTest, NoByteCanLeadOutsideTheVocabularyOrTheFile) {
  const std::string whole = bytes();
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0xff);
    replace(changed);
    read_all();  // an answer or an error, under sanitizers
    auto reader = ReferenceReader::open(path_, some_text());
    if (!reader.ok()) continue;
    for (auto row = (*reader)->next(); row.ok(); row = (*reader)->next()) {
      for (const ReferenceEntry& entry : row->entries) {
        EXPECT_LT(entry.token, 100);
        EXPECT_GE(entry.token, 0);
      }
    }
  }
}

TEST(ReferenceFile, AnUnfinishedFileLeavesNothing) {
  const tests::ScratchDirectory scratch;
  const auto path = std::filesystem::path(scratch.path()) / "model.ref";
  {
    auto writer = ReferenceWriter::create(path, some_text());
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->add(some_row(1)).ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

}  // namespace
}  // namespace quern::evaluate
