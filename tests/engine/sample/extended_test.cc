// Promises of DRY, XTC, mirostat and chosen stages one by one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "engine/sample/dry.h"
#include "engine/sample/memory.h"
#include "engine/sample/mirostat.h"
#include "engine/sample/sampler.h"

namespace quern::engine {
namespace {

using testing::HasSubstr;

std::vector<int32_t> plain_lengths(const std::vector<TokenId>& window, size_t limit) {
  std::vector<int32_t> out(window.size(), 0);
  for (size_t at = 1; at < window.size(); ++at) {
    size_t n = 0;
    while (n < at && n < limit && window[at - 1 - n] == window[window.size() - 1 - n]) ++n;
    out[at] = static_cast<int32_t>(n);
  }
  return out;
}

TEST(Dry, RepetitionLengthsAreThoseOfAPlainSearch) {
  std::mt19937 random(3);
  std::vector<int32_t> lengths;
  for (int round = 0; round < 3000; ++round) {
    std::vector<TokenId> window(random() % 40);
    const auto n_words = 1 + random() % 4;
    for (TokenId& token : window) token = static_cast<TokenId>(random() % n_words);
    const size_t limit = random() % 3 == 0 ? 1000 : random() % 12;
    repetition_lengths(window, limit, lengths);
    ASSERT_EQ(lengths, plain_lengths(window, limit)) << "round " << round;
  }
}

TEST(Dry, BreakersAreFoundHoweverTheTextIsCut) {
  const std::vector<std::string> breakers = {"\n", "ENDE"};
  DryBreakers found(breakers);
  for (const char* text : {"a", "b\nc", "d", "xEN", "D", "Ex", "EENDE", "y", ""}) found.push(text);
  EXPECT_EQ(found.n_unbroken(), 2U);
  const std::vector<bool> holds = {false, true, false, false, false, false, true, false, false};
  for (size_t i = 0; i < holds.size(); ++i) EXPECT_EQ(found.holds(i), holds[i]) << i;
  DryBreakers across(breakers);
  for (const char* text : {"EN", "DE", "a", "b"}) across.push(text);
  EXPECT_EQ(across.n_unbroken(), 2U);
  EXPECT_FALSE(across.holds(1));
}

TokenId greedy_with_dry(std::vector<float> logits, const std::vector<TokenId>& history,
                        SamplingParams params) {
  params.temperature = 0;
  Sampler sampler(static_cast<int64_t>(logits.size()));
  return sampler.sample({logits, history, history.size(), std::nullopt}, params)->token;
}

TEST(Dry, PenalisesWhatWouldGoOnWithARepetition) {
  SamplingParams params;
  params.dry_multiplier = 1;
  // 0 1 2 ... 0 1: token 2 would go on; two tokens are allowed, so the penalty is 1.
  EXPECT_EQ(greedy_with_dry({0, 0, 5, 4.5F}, {0, 1, 2, 3, 0, 1}, params), 3);
  EXPECT_EQ(greedy_with_dry({0, 0, 5, 3.5F}, {0, 1, 2, 3, 0, 1}, params), 2);
  params.dry_allowed_length = 3;
  EXPECT_EQ(greedy_with_dry({0, 0, 5, 4.5F}, {0, 1, 2, 3, 0, 1}, params), 2);
  params.dry_allowed_length = 2;
  params.dry_window = 4;  // does not see the first time
  EXPECT_EQ(greedy_with_dry({0, 0, 5, 4.5F}, {0, 1, 2, 3, 0, 1}, params), 2);
}

// A penalty beyond every float neither bans a token nor makes it NaN, and bans stay.
TEST(Dry, LongRepetitionsStayFinite) {
  SamplingParams params;
  params.dry_multiplier = 100;
  params.dry_base = 100;
  const std::vector<TokenId> same(5000, 1);
  EXPECT_EQ(greedy_with_dry({-1, 5}, same, params), 0);
  params.logit_bias = {{0, -std::numeric_limits<float>::infinity()}};
  EXPECT_EQ(greedy_with_dry({-1, 5}, same, params), 1);
}

TEST(Xtc, HappensAsOftenAsAskedAndIndependentlyOfTheToken) {
  SamplingParams params;
  params.temperature = 1;
  params.seed = 9;
  params.xtc_probability = 0.3F;
  params.xtc_threshold = 0.1F;
  // Probabilities 0.5, 0.3, 0.2: with XTC only the third is left.
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.2F)};
  Sampler sampler(3);
  constexpr int kDraws = 20000;
  std::vector<int> counts(3, 0);
  for (uint64_t position = 0; position < kDraws; ++position) {
    std::vector<float> row = logits;
    ++counts[static_cast<size_t>(sampler.sample({row, {}, position, std::nullopt}, params)->token)];
  }
  // Standard deviation below 0.0036.
  EXPECT_NEAR(counts[0] / double{kDraws}, 0.7 * 0.5, 0.015);
  EXPECT_NEAR(counts[1] / double{kDraws}, 0.7 * 0.3, 0.015);
  EXPECT_NEAR(counts[2] / double{kDraws}, 0.7 * 0.2 + 0.3, 0.015);
}

TEST(Xtc, LeavesASingleTopChoiceAlone) {
  SamplingParams params;
  params.temperature = 1;
  params.xtc_probability = 1;
  params.xtc_threshold = 0.3F;
  Sampler sampler(3);
  for (uint64_t position = 0; position < 50; ++position) {
    std::vector<float> row = {10, 0, 0};
    EXPECT_EQ(sampler.sample({row, {}, position, std::nullopt}, params)->token, 0);
  }
}

// On a fixed Zipf distribution both versions bring the mean surprise of what they draw to tau.
TEST(Mirostat, BringsTheMeanSurpriseToItsTarget) {
  constexpr size_t kVocab = 4000;
  std::vector<float> logits(kVocab);
  for (size_t i = 0; i < kVocab; ++i) {
    logits[i] = -1.1F * std::log(static_cast<float>(i + 1));
  }
  for (const int version : {1, 2}) {
    for (const float tau : {2.0F, 4.0F}) {
      SamplingParams params;
      params.temperature = 1;
      params.seed = 5;
      params.mirostat = version;
      params.mirostat_tau = tau;
      SampleMemory memory(params);
      Sampler sampler(kVocab);
      constexpr int kDraws = 2000;
      const double first_mu = memory.mirostat_mu();
      for (uint64_t position = 0; position < kDraws; ++position) {
        std::vector<float> row = logits;
        SampleInput input{row, {}, position, std::nullopt};
        input.memory = &memory;
        ASSERT_TRUE(sampler.sample(input, params).ok());
      }
      // The sum of all steps is what the bound has moved; so this is the mean of the errors.
      const double moved = (memory.mirostat_mu() - first_mu) / params.mirostat_eta / kDraws;
      EXPECT_NEAR(moved, 0, 0.1) << "version " << version << ", tau " << tau;
    }
  }
}

// Stages that drop tokens do not run beside it.
TEST(Mirostat, TakesThePlaceOfTruncation) {
  const auto tokens = [](SamplingParams params) {
    params.temperature = 1;
    params.mirostat = 2;
    SampleMemory memory(params);
    Sampler sampler(100);
    std::vector<TokenId> out;
    for (uint64_t position = 0; position < 200; ++position) {
      std::vector<float> row(100);
      for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>((i * 37) % 11);
      SampleInput input{row, {}, position, std::nullopt};
      input.memory = &memory;
      out.push_back(sampler.sample(input, params)->token);
    }
    return out;
  };
  SamplingParams params;
  const std::vector<TokenId> plain = tokens(params);
  params.top_k = 1;
  params.top_p = 0.1F;
  params.xtc_probability = 1;
  params.top_n_sigma = 0.1F;
  EXPECT_EQ(tokens(params), plain);
  params.seed = 1;
  EXPECT_NE(tokens(params), plain);
}

TEST(DynamicTemperature, ReachesFromZeroUpwards) {
  SamplingParams params;
  params.temperature = 0;  // with a range this is not greedy
  params.dynatemp_range = 2;
  Sampler sampler(4);
  std::vector<int> counts(4, 0);
  for (uint64_t position = 0; position < 400; ++position) {
    std::vector<float> row = {1, 1, 1, 1};
    ++counts[static_cast<size_t>(sampler.sample({row, {}, position, std::nullopt}, params)->token)];
  }
  for (const int count : counts) EXPECT_GT(count, 50);
  std::vector<float> row = {900, -900, 0, 0};
  EXPECT_EQ(sampler.sample({row, {}, 0, std::nullopt}, params)->token, 0);
}

std::vector<std::string> names_of(const Result<std::vector<uint8_t>>& stages) {
  std::vector<std::string> out;
  for (const uint8_t index : *stages) out.emplace_back(sampler_stages()[index].name);
  return out;
}

TEST(ChosenStages, ComeFromNamesAndLetters) {
  const std::vector<std::string> names = {"penalties", "temperature", "min_p"};
  EXPECT_EQ(names_of(stages_of_names(names)), names);
  EXPECT_EQ(names_of(stages_of_letters("etm")), names);
  EXPECT_EQ(names_of(stages_of_letters("edskypmxt")).size(), 9U);
  const auto message = [](const Result<std::vector<uint8_t>>& stages) {
    return stages.ok() ? std::string("accepted") : stages.error().message();
  };
  EXPECT_THAT(message(stages_of_letters("ez")), HasSubstr("there is no \"z\""));
  EXPECT_THAT(message(stages_of_letters(std::string_view("\0", 1))), HasSubstr("there is no"));
  EXPECT_THAT(message(stages_of_letters("kk")), HasSubstr("top_k is there twice"));
  EXPECT_THAT(message(stages_of_letters("kd")), HasSubstr("dry must come before top_k"));
  const std::vector<std::string> unknown = {"logit_bias"};
  EXPECT_THAT(message(stages_of_names(unknown)), HasSubstr("the names are penalties, dry"));
}

// Temperature first flattens what min_p then looks at; stages left out do nothing.
TEST(ChosenStages, RunInTheirOrderAndAlone) {
  const auto support = [](const SamplingParams& params) {
    std::vector<bool> out(3, false);
    Sampler sampler(3);
    for (uint64_t position = 0; position < 500; ++position) {
      std::vector<float> row = {3, 1, 0};
      out[static_cast<size_t>(sampler.sample({row, {}, position, std::nullopt}, params)->token)] =
          true;
    }
    return out;
  };
  SamplingParams params;
  params.temperature = 4;
  params.min_p = 0.2F;
  EXPECT_EQ(support(params), (std::vector<bool>{true, false, false}));
  params.stages = *stages_of_letters("tm");
  EXPECT_EQ(support(params), (std::vector<bool>{true, true, true}));
  params.stages = *stages_of_letters("m");
  EXPECT_EQ(support(params), (std::vector<bool>{true, false, false}));
  params.temperature = 0;  // greedy only where the temperature is among the stages
  params.stages = *stages_of_letters("e");
  EXPECT_EQ(support(params), (std::vector<bool>{true, true, true}));
  params.stages = *stages_of_letters("et");
  EXPECT_EQ(support(params), (std::vector<bool>{true, false, false}));
}

TEST(ValidateSampling, ChecksTheExtendedParameters) {
  const auto message = [](auto change) {
    SamplingParams params;
    change(params);
    const Status status = validate_sampling(params, 10);
    return status.ok() ? std::string("accepted") : status.error().message();
  };
  EXPECT_EQ(message([](auto& p) { p.mirostat = 3; }),
            "mirostat is 3; it must be from 0 (off) to 2");
  EXPECT_THAT(message([](auto& p) { p.mirostat_tau = -1; }), HasSubstr("mirostat_tau is -1;"));
  EXPECT_THAT(message([](auto& p) { p.mirostat_eta = NAN; }), HasSubstr("mirostat_eta"));
  EXPECT_THAT(message([](auto& p) { p.dry_base = 0.5F; }), HasSubstr("dry_base is 0.5;"));
  EXPECT_THAT(message([](auto& p) { p.dry_multiplier = -1; }), HasSubstr("dry_multiplier"));
  EXPECT_THAT(message([](auto& p) { p.dry_allowed_length = -1; }), HasSubstr("dry_allowed_length"));
  EXPECT_THAT(message([](auto& p) { p.dry_window = -2; }), HasSubstr("dry_penalty_last_n is -2"));
  EXPECT_THAT(message([](auto& p) {
                p.dry_breakers = {"a", ""};
              }),
              HasSubstr("dry_sequence_breakers[1] has 0 bytes"));
  EXPECT_THAT(message([](auto& p) { p.dry_breakers.assign(33, "a"); }), HasSubstr("33 strings"));
  EXPECT_THAT(message([](auto& p) { p.xtc_probability = 1.5F; }), HasSubstr("xtc_probability"));
  EXPECT_THAT(message([](auto& p) { p.xtc_threshold = -1; }), HasSubstr("xtc_threshold"));
  EXPECT_THAT(message([](auto& p) { p.dynatemp_range = -1; }), HasSubstr("dynatemp_range"));
  EXPECT_THAT(message([](auto& p) { p.dynatemp_exponent = -1; }), HasSubstr("dynatemp_exponent"));
  EXPECT_THAT(message([](auto& p) { p.top_n_sigma = NAN; }), HasSubstr("top_n_sigma"));
  EXPECT_THAT(message([](auto& p) { p.stages = {200}; }), HasSubstr("no such stage"));
}

}  // namespace
}  // namespace quern::engine
