// Exact token ids of the published test texts for every vocabulary, and the way back.
#include <sstream>
#include <vector>

#include "tests/models/tokenizer/vocab_files.h"

namespace quern::tokenizer {
namespace {

constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";

std::vector<std::string> read_texts(const std::string& all) {
  std::vector<std::string> texts;
  size_t at = 0;
  for (size_t end = all.find(kSeparator); end != std::string::npos;
       end = all.find(kSeparator, at)) {
    texts.push_back(all.substr(at, end - at));
    at = end + kSeparator.size();
  }
  if (at < all.size()) texts.push_back(all.substr(at));
  return texts;
}

std::vector<std::vector<TokenId>> read_ids(const std::string& all) {
  std::vector<std::vector<TokenId>> lines;
  std::istringstream in(all);
  for (std::string line; std::getline(in, line);) {
    std::istringstream numbers(line);
    lines.emplace_back();
    for (TokenId id = 0; numbers >> id;) lines.back().push_back(id);
  }
  return lines;
}

class ReferenceIds : public testing::TestWithParam<const char*> {};

TEST_P(ReferenceIds, EveryTextGivesTheExpectedIds) {
  QUERN_REQUIRE_VOCAB(GetParam());
  const auto tokenizer = load_vocab(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  const auto base = vocab_path(GetParam()).string();
  const auto texts = read_texts(read_whole(base + ".inp"));
  const auto expected = read_ids(read_whole(base + ".out"));
  ASSERT_EQ(texts.size(), expected.size());
  ASSERT_EQ(texts.size(), 46u);
  for (size_t i = 0; i < texts.size(); ++i) {
    for (const auto parsing : {SpecialParsing::kText, SpecialParsing::kParse}) {
      const auto ids = tokenizer->encode(texts[i], parsing);
      ASSERT_TRUE(ids.ok()) << ids.error().message();
      EXPECT_EQ(ids.value(), expected[i]) << "text " << i << ": \"" << texts[i] << '"';
    }
  }
}

TEST_P(ReferenceIds, DecodingGivesTheTextBack) {
  QUERN_REQUIRE_VOCAB(GetParam());
  if (std::string_view(GetParam()) == "bert-bge") {
    GTEST_SKIP() << "WordPiece normalises text, so there is no way back";
  }
  const auto tokenizer = load_vocab(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  for (const std::string& text : read_texts(read_whole(vocab_path(GetParam()).string() + ".inp"))) {
    const auto ids = tokenizer->encode(text, SpecialParsing::kText);
    ASSERT_TRUE(ids.ok()) << ids.error().message();
    const auto back = tokenizer->decode(ids.value());
    ASSERT_TRUE(back.ok()) << back.error().message();
    EXPECT_EQ(back.value(), text);
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, ReferenceIds, testing::ValuesIn(kVocabNames),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace quern::tokenizer
