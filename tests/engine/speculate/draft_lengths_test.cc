// Lengths against a search through all of them, and the cases that must come out as nothing.
#include "engine/speculate/draft_lengths.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

namespace quern::engine {
namespace {

StepCosts costs(double step_ns, double row_ns) {
  StepCosts out;
  out.step_ns = step_ns;
  out.row_ns = row_ns;
  return out;
}

std::vector<int32_t> lengths_of(const std::vector<DraftChance>& chances, const StepCosts& known,
                                const DraftLimits& limits) {
  return choose_draft_lengths(chances, known, limits);
}

double tokens_per_ns(std::span<const DraftChance> chances, const std::vector<int32_t>& lengths,
                     const StepCosts& known, const DraftLimits& limits) {
  double n_tokens = limits.n_streams;
  int32_t n_rows = limits.n_streams;
  int32_t n_levels = 0;
  for (size_t i = 0; i < chances.size(); ++i) {
    for (int32_t d = 1; d <= lengths[i]; ++d) n_tokens += std::pow(chances[i].acceptance, d);
    n_rows += lengths[i];
    if (chances[i].by_model) n_levels = std::max(n_levels, lengths[i]);
  }
  return n_tokens / (known.rows_ns(n_rows) + n_levels * limits.model_ns);
}

TEST(DraftLengths, NothingBeforeCostsAreKnown) {
  const DraftChance sure{1.0, 8, false, false};
  EXPECT_EQ(lengths_of({sure}, StepCosts(), {1, 8, 0}), std::vector<int32_t>{0});
}

TEST(DraftLengths, SureTokensAreTakenWhereRowsAreCheap) {
  const DraftChance sure{1.0, 8, false, false};
  EXPECT_EQ(lengths_of({sure}, costs(100, 10), {1, 16, 0}), std::vector<int32_t>{8});
  EXPECT_EQ(lengths_of({sure}, costs(100, 10), {1, 3, 0}), std::vector<int32_t>{3});
  // A step that costs nothing but its rows.
  EXPECT_EQ(lengths_of({sure}, costs(0, 10), {1, 16, 0}), std::vector<int32_t>{0});
}

TEST(DraftLengths, FollowTheAcceptance) {
  int32_t last = 9;
  for (const double rate : {0.99, 0.8, 0.55, 0.3}) {
    const DraftChance chance{rate, 8, false, false};
    const int32_t length = lengths_of({chance}, costs(80, 20), {1, 16, 0})[0];
    EXPECT_LT(length, last);
    last = length;
  }
  const DraftChance poor{0.15, 8, false, false};
  EXPECT_EQ(lengths_of({poor}, costs(80, 20), {1, 16, 0})[0], 0);
}

TEST(DraftLengths, OffWhenTheBatchIsLarge) {
  const std::vector<DraftChance> chances(64, {0.6, 8, false, false});
  const auto small = lengths_of({chances.front()}, costs(80, 20), {1, 32, 0});
  EXPECT_GT(small[0], 0);
  const auto large = choose_draft_lengths(chances, costs(80, 20), {64, 32, 0});
  EXPECT_EQ(std::accumulate(large.begin(), large.end(), 0), 0);
}

TEST(DraftLengths, AnExpensiveDraftModelIsLeftAlone) {
  const DraftChance chance{0.8, 8, true, false};
  EXPECT_GT(lengths_of({chance}, costs(80, 20), {1, 16, 5})[0], 0);
  EXPECT_EQ(lengths_of({chance}, costs(80, 20), {1, 16, 90})[0], 0);
}

TEST(DraftLengths, ProbesGetOneTokenUnlessItCouldNeverPay) {
  const DraftChance poor{0.01, 8, false, true};
  EXPECT_EQ(lengths_of({poor}, costs(80, 20), {1, 16, 0})[0], 1);
  EXPECT_EQ(lengths_of({poor}, costs(0, 20), {1, 16, 0})[0], 0);
  const DraftChance slow{0.01, 8, true, true};
  EXPECT_EQ(lengths_of({slow}, costs(80, 20), {1, 16, 500})[0], 0);
}

// Two streams, all lengths tried.
TEST(DraftLengths, AreTheBestThereAre) {
  std::mt19937 random(3);
  const auto draw = [&] { return static_cast<double>(random() % 1000) / 1000; };
  int drafted = 0;
  for (int round = 0; round < 500; ++round) {
    const std::vector<DraftChance> chances = {{draw(), 5, false, false}, {draw(), 5, false, false}};
    const StepCosts known = costs(100 * draw(), 1 + 30 * draw());
    const DraftLimits limits{2 + static_cast<int32_t>(random() % 4), 6, 0};
    const auto chosen = choose_draft_lengths(chances, known, limits);
    ASSERT_LE(chosen[0] + chosen[1], limits.n_rows);
    drafted += chosen[0] + chosen[1] > 0 ? 1 : 0;
    double best = 0;
    for (int32_t a = 0; a <= 5; ++a) {
      for (int32_t b = 0; b <= std::min(5, limits.n_rows - a); ++b) {
        best = std::max(best, tokens_per_ns(chances, {a, b}, known, limits));
      }
    }
    EXPECT_NEAR(tokens_per_ns(chances, chosen, known, limits), best, best * 1e-12);
  }
  EXPECT_GT(drafted, 100);
}

}  // namespace
}  // namespace quern::engine
