// Agreement with other implementations: pre-tokenizer splits of every named rule and token ids of
// real and awkward texts (tests/golden/tokenizer, frozen by the scripts beside the files).
#include <sstream>

#include "config/base/json.h"
#include "models/tokenizer/pretokenize.h"
#include "tests/models/tokenizer/vocab_files.h"

namespace quern::tokenizer {
namespace {

Json read_golden(const std::string& name) {
  const auto path = std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/tokenizer" / name;
  auto json = parse_json(read_whole(path));
  EXPECT_TRUE(json.ok()) << json.error().message();
  return json.ok() ? json.value() : Json();
}

TEST(PretokenizeGolden, EveryRuleSplitsAsPublished) {
  const auto golden = read_golden("pretokenize.json");
  const auto texts = golden["texts"].get<std::vector<std::string>>();
  ASSERT_EQ(golden["splits"].size(), 24u);
  for (const auto& [name, splits] : golden["splits"].items()) {
    const auto rule = Pretokenizer::create(name);
    ASSERT_TRUE(rule.ok()) << rule.error().message();
    ASSERT_EQ(splits.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      uint64_t steps = 0;
      std::vector<size_t> lengths;
      for (const CodeRange word : rule.value()->split(decode_text(texts[i]), steps)) {
        lengths.push_back(word.end - word.begin);
      }
      EXPECT_EQ(lengths, splits[i].get<std::vector<size_t>>())
          << name << ", text " << i << ": \"" << texts[i] << '"';
    }
  }
}

TEST(PretokenizeGolden, EveryNameCompiles) {
  for (const std::string_view name : Pretokenizer::names()) {
    EXPECT_TRUE(Pretokenizer::create(name).ok()) << name;
  }
  const auto unknown = Pretokenizer::create("no-such-rule");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().kind(), ErrorKind::kUnsupported);
  EXPECT_NE(unknown.error().message().find("llama-bpe"), std::string::npos);
}

uint32_t fingerprint(const std::vector<TokenId>& ids) {
  uint32_t hash = 0x811C9DC5;
  for (const TokenId id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ ((static_cast<uint32_t>(id) >> shift) & 0xFF)) * 0x01000193;
    }
  }
  return hash;
}

std::vector<std::string> wikitext_lines() {
  std::istringstream in(
      read_whole(std::filesystem::path(QUERN_SHARED_DATA_DIR) / "text/wikitext-2-test.txt"));
  std::vector<std::string> lines;
  size_t n = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \r") == std::string::npos) continue;
    if (n++ % 4 == 0) lines.push_back(line);
  }
  return lines;
}

class IdsGolden : public testing::TestWithParam<const char*> {};

TEST_P(IdsGolden, IdsAreThoseOfTheReference) {
  QUERN_REQUIRE_VOCAB(GetParam());
  const std::string name = GetParam();
  const auto tokenizer = load_vocab(name);
  ASSERT_NE(tokenizer, nullptr);
  const auto golden = read_golden("ids.json");
  const auto check = [&](const std::string& part, const std::vector<std::string>& texts) {
    const auto& rows = golden[name + "/" + part];
    ASSERT_EQ(rows.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto ids = tokenizer->encode(texts[i], SpecialParsing::kText);
      ASSERT_TRUE(ids.ok()) << ids.error().message();
      const bool same = ids.value().size() == rows[i][0].get<size_t>() &&
                        fingerprint(ids.value()) == rows[i][1].get<uint32_t>();
      EXPECT_TRUE(same) << part << " text " << i << " has " << ids.value().size()
                        << " ids, expected " << rows[i][0] << ": " << Json(texts[i]);
    }
  };
  check("torture", golden["texts"].get<std::vector<std::string>>());
  check("wikitext", wikitext_lines());
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, IdsGolden,
                         testing::Values("gpt-2", "starcoder", "deepseek-coder", "bert-bge",
                                         "llama-spm"),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace quern::tokenizer
