// Work grows with the length of the text and no faster, whatever the text: counted, not timed.
#include <array>

#include "models/tokenizer/pretokenize.h"
#include "tests/models/tokenizer/tiny_vocab.h"
#include "tests/models/tokenizer/vocab_files.h"

namespace quern::tokenizer {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

std::string repeat(std::string_view unit, size_t size) {
  std::string out;
  out.reserve(size + unit.size());
  while (out.size() < size) out.append(unit);
  return out;
}

constexpr std::string_view kUnits[] = {
    "A",        "a",      " ",       ".",    "\n",     "\r\n",   "\t",     "7",   "中",  "🙂",
    "👨\u200d👩", "\u0301", "e\u0301", "\xFF", "aA",     "Aa",     " \n",    "\n ", "  a", "12a",
    "'s",       "'",      "//",      "<|",   "<|end|", "\u2581", "\u3000", "ǅ",
};
// A run and something after it that does not go with it.
constexpr std::string_view kTails[] = {"", "a", "1", ".", "中", "\n"};

TEST(Linear, EveryRuleLooksAtEachCharacterABoundedNumberOfTimes) {
  std::vector<std::string_view> seen;
  for (const std::string_view name : Pretokenizer::names()) {
    const auto rule = Pretokenizer::create(name).value();
    // Names that share their patterns need one look.
    if (!seen.empty() && rule->patterns().back() == seen.back()) continue;
    seen.push_back(rule->patterns().back());
    for (const std::string_view unit : kUnits) {
      for (const std::string_view tail : kTails) {
        const CodeText text = decode_text(repeat(unit, 3000).append(tail));
        uint64_t steps = 0;
        const auto words = rule->split(text, steps);
        size_t at = 0;
        for (const CodeRange word : words) {
          ASSERT_EQ(word.begin, at);
          ASSERT_LT(word.begin, word.end);
          at = word.end;
        }
        ASSERT_EQ(at, text.size());
        // jais-2 tries runs of 512, 256, ... at each word: 1,024 characters at most.
        const uint64_t bound = name == "jais-2" ? 1100 : 100;
        EXPECT_LT(steps, bound * text.size()) << name << " on \"" << unit << "\" x n + " << tail;
      }
    }
  }
}

void expect_linear(const Tokenizer& tokenizer, std::string_view unit) {
  std::array<uint64_t, 3> steps{};
  for (size_t i = 0; i < steps.size(); ++i) {
    const std::string text = repeat(unit, (size_t{8} << 10) << i);
    ASSERT_TRUE(tokenizer.encode(text, SpecialParsing::kParse, steps[i]).ok());
  }
  // Doubling the text must not much more than double the work.
  EXPECT_LT(steps[1], steps[0] * 2 + steps[0] / 4 + 100) << unit;
  EXPECT_LT(steps[2], steps[1] * 2 + steps[1] / 4 + 100) << unit;
}

TEST(Linear, DoublingTheTextDoublesTheWork) {
  VocabData raw = tiny_bytes();
  raw.family = Family::kRawBpe;
  raw.unk = 0;
  for (const VocabData& data : {tiny_pieces(), tiny_bytes(), raw, tiny_words()}) {
    const auto tokenizer = Tokenizer::from_data(data);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
    for (const std::string_view unit : kUnits) expect_linear(*tokenizer.value(), unit);
  }
}

TEST(Linear, RealVocabulariesTakeAMebibyteOfAnything) {
  for (const char* name : {"llama-spm", "deepseek-coder", "bert-bge"}) {
    QUERN_REQUIRE_VOCAB(name);
    const auto tokenizer = load_vocab(name);
    ASSERT_NE(tokenizer, nullptr);
    for (const std::string_view unit : {"A", " ", "\n", "7", "🙂"}) {
      const std::string text = repeat(unit, kMiB);
      uint64_t steps = 0;
      const auto ids = tokenizer->encode(text, SpecialParsing::kText, steps);
      ASSERT_TRUE(ids.ok()) << ids.error().message();
      EXPECT_LT(steps, 40 * text.size()) << name << ' ' << unit;
      if (std::string_view(name) == "bert-bge") continue;
      EXPECT_EQ(tokenizer->decode(ids.value()).value(), text) << name << ' ' << unit;
    }
  }
}

TEST(Linear, TextOverTheLimitIsRefused) {
  const auto tokenizer = Tokenizer::from_data(tiny_bytes()).value();
  const std::string text(Tokenizer::kMaxTextBytes + 1, ' ');
  const auto ids = tokenizer->encode(text, SpecialParsing::kText);
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().kind(), ErrorKind::kInvalidInput);
}

}  // namespace
}  // namespace quern::tokenizer
