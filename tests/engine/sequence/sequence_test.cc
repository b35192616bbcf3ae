// How a sequence ends: reasons, precedence (D-05), context at the exact token (D-03), usage (D-19).
#include "engine/sequence/sequence.h"

#include <gtest/gtest.h>

#include "tests/engine/vocabulary/letter_vocabulary.h"

namespace quern::engine {
namespace {

class SequenceTest : public testing::Test {
 protected:
  Sequence make(int64_t max_tokens, std::vector<std::string> stop = {}, int64_t context = 100) {
    Request request;
    request.prompt = {kBos, word_token("hello")};
    request.max_tokens = max_tokens;
    request.stop = std::move(stop);
    request.sampling.ignore_end_of_generation = ignore_end_;
    return Sequence(std::move(request), *tokenizer_, context, TimePoint());
  }
  static std::optional<FinishReason> accept(Sequence& sequence, TokenId token) {
    Event piece;
    return sequence.accept(token, std::nullopt, TimePoint(), piece);
  }
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_ = letter_tokenizer();
  bool ignore_end_ = false;
};

TEST_F(SequenceTest, EndsByLength) {
  Sequence sequence = make(2);
  EXPECT_EQ(accept(sequence, word_token("wor")), std::nullopt);
  EXPECT_EQ(accept(sequence, word_token("ld")), FinishReason::kLength);
  const Event end = sequence.finished(FinishReason::kLength, TimePoint());
  EXPECT_EQ(end.usage.prompt_tokens, 2);
  EXPECT_EQ(end.usage.completion_tokens, 2);
}

TEST_F(SequenceTest, StopBeatsLengthOnTheSameToken) {
  Sequence by_token = make(1);
  EXPECT_EQ(accept(by_token, kEos), FinishReason::kStop);
  EXPECT_EQ(by_token.finished(FinishReason::kStop, TimePoint()).usage.completion_tokens, 1);
  Sequence by_string = make(1, {"ld"});
  EXPECT_EQ(accept(by_string, word_token("ld")), FinishReason::kStop);
  EXPECT_EQ(by_string.finished(FinishReason::kStop, TimePoint()).matched_stop, "ld");
}

TEST_F(SequenceTest, EndTokenCanBeIgnored) {
  ignore_end_ = true;
  Sequence sequence = make(3);
  EXPECT_EQ(accept(sequence, kEos), std::nullopt);
  EXPECT_EQ(accept(sequence, kEos), std::nullopt);
  EXPECT_EQ(accept(sequence, word_token("ld")), FinishReason::kLength);
}

TEST_F(SequenceTest, ContextEndsAtTheExactToken) {
  Sequence sequence = make(-1, {}, 4);
  EXPECT_EQ(sequence.max_tokens_in_all(), 4);
  EXPECT_EQ(accept(sequence, word_token("wor")), std::nullopt);
  EXPECT_EQ(accept(sequence, word_token("ld")), FinishReason::kLength);
  EXPECT_EQ(make(50, {}, 4).max_tokens_in_all(), 4);
}

TEST_F(SequenceTest, HeldBackTextComesOutAtTheEnd) {
  Sequence sequence = make(1, {"STOP"});
  Event piece;
  EXPECT_EQ(sequence.accept(word_token("STO"), std::nullopt, TimePoint(), piece),
            FinishReason::kLength);
  EXPECT_EQ(piece.text, "STO");
  EXPECT_EQ(piece.tokens.size(), 1U);
}

}  // namespace
}  // namespace quern::engine
