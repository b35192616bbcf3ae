// The sampler's promises one by one: greedy, bans, broken logits, penalties, ranges.
#include "engine/sample/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace quern::engine {
namespace {

using testing::HasSubstr;

constexpr float kBan = -std::numeric_limits<float>::infinity();

SamplingParams greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

Result<Sample> draw(std::vector<float> logits, const SamplingParams& params,
                    std::vector<TokenId> history = {}, uint64_t position = 0) {
  Sampler sampler(static_cast<int64_t>(logits.size()));
  return sampler.sample({logits, history, position, std::nullopt}, params);
}

TEST(Sampler, StagesKeepTheDocumentedOrder) {
  std::vector<std::string> names;
  for (const Stage& stage : sampler_stages()) names.emplace_back(stage.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"logit_bias", "penalties", "dry", "top_n_sigma", "top_k",
                                      "typ_p", "top_p", "min_p", "xtc", "temperature"}));
}

TEST(Sampler, GreedyTakesTheLowestOfEqualBest) {
  EXPECT_EQ(draw({1, 5, 2, 5, 0}, greedy())->token, 1);
}

TEST(Sampler, GreedyIgnoresFilters) {
  SamplingParams params = greedy();
  params.top_k = 1;
  params.typical_p = 0.01F;
  params.top_p = 0.01F;
  EXPECT_EQ(draw({1, 5, 2, 4.9F, 0}, params)->token, 1);
}

TEST(Sampler, BiasBansAndPromotes) {
  SamplingParams params = greedy();
  params.logit_bias = {{1, kBan}, {4, 10.0F}};
  EXPECT_EQ(draw({1, 5, 2, 4, 0}, params)->token, 4);
}

TEST(Sampler, EverythingBannedIsAnError) {
  for (const float temperature : {0.0F, 1.0F}) {
    SamplingParams params;
    params.temperature = temperature;
    params.logit_bias = {{0, kBan}, {1, kBan}, {2, kBan}};
    const auto sample = draw({1, 2, 3}, params);
    ASSERT_FALSE(sample.ok());
    EXPECT_EQ(sample.error().kind(), ErrorKind::kInvalidInput);
    EXPECT_THAT(sample.error().message(), HasSubstr("no token is left"));
  }
}

// OpenAI's "-100 for all" shifts every logit alike and leaves a distribution.
TEST(Sampler, AllTokensAtMinusHundredStillDraws) {
  SamplingParams params;
  params.logit_bias = {{0, -100.0F}, {1, -100.0F}};
  EXPECT_TRUE(draw({1, 2}, params).ok());
}

TEST(Sampler, NonFiniteLogitsAreAnError) {
  for (const float bad : {kBan, -kBan, std::numeric_limits<float>::quiet_NaN()}) {
    const auto sample = draw({1, bad, 3}, SamplingParams());
    ASSERT_FALSE(sample.ok());
    EXPECT_THAT(sample.error().message(), HasSubstr("model produced non-finite values"));
  }
}

TEST(Sampler, ExtremeParametersStillDraw) {
  SamplingParams params;
  params.temperature = 1e-30F;
  EXPECT_EQ(draw({3e38F, -3e38F, 1}, params)->token, 0);
  params.temperature = 100;
  params.repetition_penalty = 0.01F;
  EXPECT_TRUE(draw({3e38F, -3e38F, 1}, params, {0, 1}).ok());
  params.top_p = 0;
  params.typical_p = 0;
  params.min_p = 1;
  params.top_k = 1;
  EXPECT_TRUE(draw({3e38F, 3e38F, 1}, params, {0, 1}).ok());
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegative) {
  SamplingParams params = greedy();
  params.repetition_penalty = 2;
  EXPECT_EQ(draw({4, 2.5F, 0}, params, {0})->token, 1);        // 4 / 2 < 2.5
  EXPECT_EQ(draw({-1, -1.5F, -9}, params, {0, 0})->token, 1);  // -1 * 2 < -1.5, counted once
}

TEST(Sampler, FrequencyCountsPresenceDoesNot) {
  SamplingParams params = greedy();
  params.frequency_penalty = 1;
  EXPECT_EQ(draw({5, 4.5F, 3.5F}, params, {0, 0, 1})->token, 1);  // 3, 3.5, 3.5: lowest id
  params.frequency_penalty = 0;
  params.presence_penalty = 1;
  EXPECT_EQ(draw({5, 4.5F, 3.5F}, params, {0, 0})->token, 1);
}

TEST(Sampler, PenaltyWindowBoundsTheHistory) {
  SamplingParams params = greedy();
  params.presence_penalty = 10;
  params.penalty_window = 2;
  EXPECT_EQ(draw({5, 4, 3}, params, {0, 1, 2})->token, 0);
  params.penalty_window = -1;
  EXPECT_EQ(draw({5, 4, 3, 2}, params, {0, 1, 2})->token, 3);
  params.penalty_window = 0;
  EXPECT_EQ(draw({5, 4, 3}, params, {0, 1, 2})->token, 0);
}

TEST(Sampler, DrawDependsOnSeedAndPositionOnly) {
  std::vector<float> logits(50);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 7);
  SamplingParams params;
  params.seed = 42;
  Sampler warm(50);
  int differing = 0;
  for (uint64_t position = 0; position < 100; ++position) {
    std::vector<float> row = logits;
    const auto warm_token = warm.sample({row, {}, position, 3}, params)->token;
    EXPECT_EQ(warm_token, draw(logits, params, {}, position)->token);
    params.seed = 43;
    differing += draw(logits, params, {}, position)->token != warm_token;
    params.seed = 42;
  }
  EXPECT_GT(differing, 50);
}

TEST(Sampler, LogprobsAreOfTheRawLogits) {
  std::vector<float> logits = {1, 2, 3};
  SamplingParams params = greedy();
  params.logit_bias = {{2, -100.0F}};
  Sampler sampler(3);
  const auto sample = sampler.sample({logits, {}, 0, 2}, params);
  ASSERT_TRUE(sample.ok());
  EXPECT_EQ(sample->token, 1);
  ASSERT_TRUE(sample->logprob.has_value());
  EXPECT_NEAR(sample->logprob->logprob, -1.40760596F, 1e-6);
  ASSERT_EQ(sample->logprob->top.size(), 2U);
  EXPECT_EQ(sample->logprob->top[0].first, 2);
}

TEST(ValidateSampling, NamesParameterValueAndRange) {
  EXPECT_TRUE(validate_sampling(SamplingParams(), 10).ok());
  const auto message = [](auto change) {
    SamplingParams params;
    change(params);
    const Status status = validate_sampling(params, 10);
    return status.ok() ? std::string("accepted") : status.error().message();
  };
  EXPECT_EQ(message([](auto& p) { p.temperature = -1; }),
            "temperature is -1; it must be from 0 to 100");
  EXPECT_THAT(message([](auto& p) { p.temperature = NAN; }), HasSubstr("temperature is"));
  EXPECT_THAT(message([](auto& p) { p.top_p = 1.5F; }), HasSubstr("top_p is 1.5;"));
  EXPECT_THAT(message([](auto& p) { p.min_p = 2; }), HasSubstr("min_p"));
  EXPECT_THAT(message([](auto& p) { p.typical_p = -0.5F; }), HasSubstr("typical_p"));
  EXPECT_THAT(message([](auto& p) { p.top_k = -1; }), HasSubstr("top_k is -1"));
  EXPECT_THAT(message([](auto& p) { p.repetition_penalty = 0; }), HasSubstr("repetition_penalty"));
  EXPECT_THAT(message([](auto& p) { p.presence_penalty = 1e30F; }), HasSubstr("presence_penalty"));
  EXPECT_THAT(message([](auto& p) { p.frequency_penalty = -1e30F; }),
              HasSubstr("frequency_penalty"));
  EXPECT_THAT(message([](auto& p) { p.penalty_window = -2; }), HasSubstr("penalty_window"));
  EXPECT_THAT(message([](auto& p) {
                p.logit_bias = {{10, 1.0F}};
              }),
              HasSubstr("token id in logit_bias is 10; it must be from 0 to 9"));
  EXPECT_THAT(message([](auto& p) { p.logit_bias = {{-1, 1.0F}}; }), HasSubstr("logit_bias"));
  EXPECT_THAT(message([](auto& p) { p.logit_bias = {{1, INFINITY}}; }), HasSubstr("token 1"));
  EXPECT_EQ(message([](auto& p) { p.logit_bias = {{1, kBan}}; }), "accepted");
}

}  // namespace
}  // namespace quern::engine
