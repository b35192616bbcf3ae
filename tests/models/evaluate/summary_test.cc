#include "models/evaluate/summary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace quern::evaluate {
namespace {

TEST(Summary, MeansHaveTheirStandardErrors) {
  const std::vector<double> values = {1, 2, 3, 4};
  const Estimate mean = mean_of(values);
  EXPECT_DOUBLE_EQ(mean.value, 2.5);
  EXPECT_DOUBLE_EQ(mean.error, std::sqrt(5.0 / 4 / 3));
  EXPECT_EQ(mean_of(std::vector<double>{7}).error, 0);
  EXPECT_EQ(mean_of({}).value, 0);
}

TEST(Summary, PerplexityIsTheExponentialOfTheMean) {
  const std::vector<double> nll = {std::log(2), std::log(8)};
  const Estimate perplexity = perplexity_of(nll);
  EXPECT_NEAR(perplexity.value, 4, 1e-12);
  EXPECT_NEAR(perplexity.error, 4 * std::log(2), 1e-12);
}

TEST(Summary, PercentilesLieOnStraightLines) {
  std::vector<double> values;
  for (int i = 100; i >= 0; --i) values.push_back(i);
  const auto percentiles = percentiles_of(values);
  ASSERT_EQ(percentiles.size(), 10U);
  EXPECT_EQ(percentiles.front().value, 100);
  EXPECT_NEAR(percentiles[1].value, 99.9, 1e-9);
  EXPECT_NEAR(percentiles[5].value, 50, 1e-9);
  EXPECT_EQ(percentiles.back().value, 0);
  EXPECT_EQ(percentiles_of({3}).front().value, 3);
}

TEST(Summary, ComparedFiguresCountThatBothSawTheSameText) {
  DivergenceTable table;
  for (const double nll : {1.0, 2.0, 3.0}) {
    table.add({.nll = nll + 0.5,
               .reference_nll = nll,
               .kl = 0.1,
               .same_top = nll < 2.5,
               .probability_change = -0.2});
  }
  EXPECT_EQ(table.size(), 3);
  EXPECT_NEAR(table.perplexity_increase().value, std::exp(0.5) - 1, 1e-12);
  EXPECT_NEAR(table.perplexity_increase().error, 0, 1e-12);
  EXPECT_NEAR(table.same_top().value, 2.0 / 3, 1e-12);
  EXPECT_NEAR(table.probability_change_rms().value, 0.2, 1e-12);
}

}  // namespace
}  // namespace quern::evaluate
