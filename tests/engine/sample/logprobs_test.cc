// Log-softmax and its alternatives against a plain computation in double.
#include "engine/sample/logprobs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace quern::engine {
namespace {

TEST(Logprobs, MatchesPlainLogSoftmax) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 4);
  std::vector<float> logits(1000);
  for (float& x : logits) x = normal(random);
  logits[10] = logits[20];  // a tie
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  std::vector<TokenId> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<TokenId>(i);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  const TokenLogprob got = token_logprob(logits, 5, 20);
  EXPECT_EQ(got.token, 5);
  EXPECT_NEAR(got.logprob, logits[5] - std::log(sum), 1e-5);
  ASSERT_EQ(got.top.size(), 20U);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(got.top[i].first, order[i]);
    EXPECT_NEAR(got.top[i].second, logits[static_cast<size_t>(order[i])] - std::log(sum), 1e-5);
  }
}

TEST(Logprobs, MoreAlternativesThanTokens) {
  const std::vector<float> logits = {1, 3, 3, 2};
  const TokenLogprob got = token_logprob(logits, 0, 100);
  ASSERT_EQ(got.top.size(), 4U);
  EXPECT_EQ(got.top[0].first, 1);
  EXPECT_EQ(got.top[1].first, 2);
  EXPECT_EQ(got.top[3].first, 0);
  double total = 0;
  for (const auto& [id, logprob] : got.top) total += std::exp(logprob);
  EXPECT_NEAR(total, 1.0, 1e-6);
}

TEST(Logprobs, HugeLogitsDoNotOverflow) {
  const std::vector<float> logits = {3e38F, -3e38F, 3e38F};
  EXPECT_NEAR(token_logprob(logits, 0, 0).logprob, -std::log(2.0), 1e-6);
}

TEST(Logprobs, AllFiniteSeesEveryKind) {
  std::vector<float> logits(100, 1.0F);
  EXPECT_TRUE(all_finite(logits));
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    logits[63] = bad;
    EXPECT_FALSE(all_finite(logits));
  }
}

}  // namespace
}  // namespace quern::engine
