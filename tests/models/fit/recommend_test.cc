// Which candidate is recommended, and in what words.
#include "models/fit/recommend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quern::fit {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kGiB = uint64_t{1} << 30;

Candidate candidate(const std::string& recipe, uint64_t gib, std::optional<double> error,
                    double decode, bool planned = true) {
  Candidate out;
  out.recipe = recipe;
  out.planned = planned;
  out.file_bytes = gib * kGiB;
  out.bits_per_weight = static_cast<double>(gib);
  out.memory.weights = gib * kGiB;
  out.memory.kv = kGiB;
  out.kv_bytes_per_token = 64 * 1024;
  out.error = error;
  out.decode.predicted = decode;
  return out;
}

std::vector<Candidate> usual() {
  return {candidate("F16", 16, 0.0, 3),   candidate("Q8_0", 8, 3e-5, 6),
          candidate("Q6_K", 6, 4e-4, 8),  candidate("Q4_K_M", 4, 5e-3, 12),
          candidate("Q4_0", 4, 9e-3, 12), candidate("Q2_K", 2, 7e-2, 24)};
}

std::string recommended(const std::vector<Candidate>& candidates, const Limits& limits) {
  const Recommendation found = recommend(candidates, limits);
  return found.index ? candidates[*found.index].recipe : "none";
}

TEST(Recommend, TheLeastErrorThatFits) {
  EXPECT_EQ(recommended(usual(), {.memory_bytes = 8 * kGiB}), "Q6_K");
  EXPECT_EQ(recommended(usual(), {.memory_bytes = 5 * kGiB}), "Q4_K_M");
  EXPECT_EQ(recommended(usual(), {.memory_bytes = 3 * kGiB}), "Q2_K");
  EXPECT_EQ(recommended(usual(), {.memory_bytes = 3 * kGiB - 1}), "none");
  const Recommendation found = recommend(usual(), {.memory_bytes = 5 * kGiB});
  EXPECT_THAT(found.why, HasSubstr("Q4_K_M, to be quantized: least error"));
  EXPECT_THAT(found.why, HasSubstr("0.5 %"));
  EXPECT_THAT(found.why, HasSubstr("5.00 GiB"));
}

// Q8_0 is as good as F16 in every respect that can be measured, and half as large.
TEST(Recommend, OfThoseWithHardlyAnErrorTheSmallest) {
  EXPECT_EQ(recommended(usual(), {.memory_bytes = 64 * kGiB}), "Q8_0");
  EXPECT_THAT(recommend(usual(), {.memory_bytes = 64 * kGiB}).why, HasSubstr("hardly any error"));
}

TEST(Recommend, SpeedThatIsAskedForComesBeforeError) {
  EXPECT_EQ(recommended(usual(), {.memory_bytes = 64 * kGiB, .decode_rate = 10}), "Q4_K_M");
  const Recommendation none = recommend(usual(), {.memory_bytes = 64 * kGiB, .decode_rate = 99});
  EXPECT_EQ(*none.index, 1U);
  EXPECT_THAT(none.why, HasSubstr("none of them is predicted to decode 99 tokens/s"));
}

TEST(Recommend, AMachineThatWasNotMeasuredIsNotHeldAgainstAnything) {
  std::vector<Candidate> candidates = usual();
  for (Candidate& one : candidates) one.decode.predicted = 0;
  const Recommendation found = recommend(candidates, {.memory_bytes = 8 * kGiB, .decode_rate = 10});
  EXPECT_EQ(candidates[*found.index].recipe, "Q6_K");
  EXPECT_THAT(found.why, Not(HasSubstr("tokens/s")));
}

TEST(Recommend, WithoutErrorsTheMostBits) {
  std::vector<Candidate> files = {candidate("Q4_K_M", 4, std::nullopt, 12, false),
                                  candidate("Q6_K", 6, std::nullopt, 8, false)};
  const Recommendation found = recommend(files, {.memory_bytes = 64 * kGiB});
  EXPECT_EQ(*found.index, 1U);
  EXPECT_THAT(found.why, HasSubstr("most bits per weight"));
  EXPECT_THAT(found.why, HasSubstr("errors were not measured"));
}

TEST(Recommend, SaysWhatToChangeWhenNothingFits) {
  // 2 GiB of weights; 64 KiB for each token of 4 sequences.
  std::vector<Candidate> candidates = {candidate("Q2_K", 2, 7e-2, 24)};
  candidates[0].memory.kv = 8 * kGiB;
  const Limits limits{.memory_bytes = 3 * kGiB, .run = {.sequences = 4}};
  EXPECT_THAT(recommend(candidates, limits).why, HasSubstr("with a context of 4096 tokens"));
  EXPECT_THAT(recommend(candidates, limits).why, HasSubstr("2.00 GiB for weights"));
  const Limits small{.memory_bytes = kGiB, .run = {.sequences = 4}};
  EXPECT_THAT(recommend(candidates, small).why, HasSubstr("take a smaller model"));
  EXPECT_EQ(recommend({}, limits).index, std::nullopt);
}

}  // namespace
}  // namespace quern::fit
