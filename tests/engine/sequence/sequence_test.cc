// How a sequence ends: reasons, precedence (D-05), context at the exact token (D-03), usage (D-19).
#include "engine/sequence/sequence.h"

#include <gtest/gtest.h>

#include "engine/sample/philox.h"
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

TEST_F(SequenceTest, ShiftDropsTheOlderHalfBehindWhatIsKept) {
  Request request;
  request.prompt = {kBos, byte_token('a'), byte_token('b')};
  request.shift_keep = 1;
  request.max_tokens = 9;
  request.sampling.seed = 77;
  Sequence sequence(request, *tokenizer_, 6, TimePoint());
  EXPECT_EQ(sequence.max_tokens_in_all(), 6);
  for (const char c : {'c', 'd'}) {
    EXPECT_EQ(accept(sequence, byte_token(static_cast<unsigned char>(c))), std::nullopt);
    EXPECT_FALSE(sequence.must_shift());
  }
  EXPECT_EQ(accept(sequence, byte_token('e')), std::nullopt);
  ASSERT_TRUE(sequence.must_shift());
  sequence.shift();
  const std::vector<TokenId> left = {kBos, byte_token('c'), byte_token('d'), byte_token('e')};
  EXPECT_EQ(std::vector<TokenId>(sequence.tokens().begin(), sequence.tokens().end()), left);
  EXPECT_EQ(sequence.n_prompt(), 4);
  EXPECT_EQ(sequence.max_tokens_in_all(), 6);
  EXPECT_EQ(sequence.request().sampling.seed, next_seed(77));
  EXPECT_FALSE(sequence.must_shift());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(accept(sequence, byte_token('x')), std::nullopt);
    if (sequence.must_shift()) sequence.shift();
  }
  EXPECT_EQ(accept(sequence, byte_token('y')), FinishReason::kLength);  // the ninth
  const Usage usage = sequence.finished(FinishReason::kLength, TimePoint()).usage;
  EXPECT_EQ(usage.prompt_tokens, 3);
  EXPECT_EQ(usage.completion_tokens, 9);
  EXPECT_EQ(usage.shifts, 3);
  EXPECT_EQ(usage.shifted_tokens, 6);
}

// Without max_tokens an answer that shifts is bounded all the same.
TEST_F(SequenceTest, ShiftingAnswersEndAfterTenContexts) {
  Request request;
  request.prompt = {kBos};
  request.shift_keep = 0;
  request.sampling.ignore_end_of_generation = true;
  Sequence sequence(request, *tokenizer_, 8, TimePoint());
  int n = 1;
  while (!accept(sequence, byte_token('a')) && n < 1000) {
    ++n;
    if (sequence.must_shift()) sequence.shift();
  }
  EXPECT_EQ(n, 80);
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
