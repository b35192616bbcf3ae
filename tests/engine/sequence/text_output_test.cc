// Tokens to pieces: UTF-8 across tokens (D-06), stop strings across tokens (D-04), token ledger.
#include "engine/sequence/text_output.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/engine/vocabulary/letter_vocabulary.h"

namespace quern::engine {
namespace {

class TextOutputTest : public testing::Test {
 protected:
  TextOutput output(std::vector<std::string> stops) {
    return TextOutput(*tokenizer_, {.at_start_of_text = true}, std::move(stops));
  }
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_ = letter_tokenizer();
};

TEST_F(TextOutputTest, MultiByteCharacterComesOutWhole) {
  TextOutput out = output({});
  Event piece;
  EXPECT_FALSE(out.push(byte_token(0xE2), std::nullopt, piece));
  EXPECT_FALSE(out.push(byte_token(0x82), std::nullopt, piece));
  EXPECT_EQ(piece.text, "");
  EXPECT_TRUE(piece.tokens.empty());
  EXPECT_FALSE(out.push(byte_token(0xAC), std::nullopt, piece));
  EXPECT_EQ(piece.text, "\xE2\x82\xAC");
  EXPECT_EQ(piece.tokens.size(), 3U);
}

TEST_F(TextOutputTest, CutCharacterBecomesAReplacement) {
  TextOutput out = output({});
  Event piece;
  out.push(byte_token(0xE2), std::nullopt, piece);
  out.push(word_token("hello"), std::nullopt, piece);
  out.push(byte_token(0xC3), std::nullopt, piece);
  EXPECT_EQ(piece.text, "\xEF\xBF\xBDhello");
  EXPECT_EQ(piece.tokens.size(), 2U);
  EXPECT_FALSE(out.finish(piece));
  EXPECT_EQ(piece.text, "\xEF\xBF\xBDhello\xEF\xBF\xBD");
  EXPECT_EQ(piece.tokens.size(), 3U);
}

TEST_F(TextOutputTest, StopAcrossTokensHidesTheirTokensToo) {
  TextOutput out = output({"ldSTOP"});
  Event piece;
  for (const char* word : {"hello", "wor", "ld", "STO"}) {
    EXPECT_FALSE(out.push(word_token(word), std::nullopt, piece));
  }
  EXPECT_EQ(piece.text, "hellowor");
  EXPECT_EQ(piece.tokens.size(), 2U);
  EXPECT_TRUE(out.push(word_token("P"), std::nullopt, piece));
  EXPECT_EQ(piece.text, "hellowor");
  EXPECT_EQ(piece.tokens.size(), 2U);
  EXPECT_EQ(out.matched_stop(), "ldSTOP");
}

TEST_F(TextOutputTest, TokenShownInPartIsReported) {
  TextOutput out = output({"lo"});
  Event piece;
  EXPECT_TRUE(out.push(word_token("hello"), TokenLogprob{word_token("hello"), -1, {}}, piece));
  EXPECT_EQ(piece.text, "hel");
  EXPECT_EQ(piece.tokens.size(), 1U);
  EXPECT_EQ(piece.logprobs.size(), 1U);
}

TEST_F(TextOutputTest, FirstSpaceIsDroppedAtTheStartOnly) {
  TextOutput out = output({});
  Event piece;
  out.push(word_token("\xE2\x96\x81the"), std::nullopt, piece);
  out.push(word_token("\xE2\x96\x81the"), std::nullopt, piece);
  EXPECT_EQ(piece.text, "the the");
}

// Whatever the tokens and stops: pieces together are the decoded text up to the stop; every shown
// token is reported once, in order, and never before its text.
TEST_F(TextOutputTest, RandomTokensKeepTheLedger) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    std::vector<TokenId> tokens;
    for (int i = 0; i < 30; ++i) {
      const bool word = random() % 2 == 0;
      const uint32_t bytes[] = {0xE2, 0x82, 0xAC, 0xC3, 0xA9, 'a', 'b', 0x80};
      tokens.push_back(word ? kFirstWord + static_cast<TokenId>(random() % letter_words().size())
                            : byte_token(static_cast<unsigned char>(bytes[random() % 8])));
    }
    const std::string whole = *tokenizer_->decode(tokens);
    const std::vector<std::string> stops = {random() % 2 ? "aab" : "STOPS", "ldhello"};
    size_t cut = std::min(whole.find(stops[0]), whole.find(stops[1]));

    TextOutput out = output(stops);
    std::string text;
    std::vector<TokenId> shown;
    bool stopped = false;
    for (const TokenId token : tokens) {
      Event piece;
      stopped = out.push(token, TokenLogprob{token, 0, {}}, piece);
      text += piece.text;
      shown.insert(shown.end(), piece.tokens.begin(), piece.tokens.end());
      ASSERT_EQ(piece.tokens.size(), piece.logprobs.size());
      if (stopped) break;
    }
    if (!stopped) {
      Event piece;
      stopped = out.finish(piece);
      text += piece.text;
      shown.insert(shown.end(), piece.tokens.begin(), piece.tokens.end());
    }
    ASSERT_EQ(stopped, cut != std::string::npos) << "seed " << seed;
    ASSERT_EQ(text, whole.substr(0, cut)) << "seed " << seed;
    ASSERT_LE(shown.size(), tokens.size());
    ASSERT_TRUE(std::equal(shown.begin(), shown.end(), tokens.begin())) << "seed " << seed;
    if (!stopped) {
      ASSERT_EQ(shown.size(), tokens.size());
    }
  }
}

}  // namespace
}  // namespace quern::engine
