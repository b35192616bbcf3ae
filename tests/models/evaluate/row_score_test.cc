// Rows whose figures are known from the definition.
#include "models/evaluate/row_score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace quern::evaluate {
namespace {

// Logits of a distribution, moved by a constant that must not matter.
std::vector<float> logits_of(const std::vector<double>& probabilities, double shift) {
  std::vector<float> out;
  for (const double p : probabilities) out.push_back(static_cast<float>(std::log(p) + shift));
  return out;
}

const std::vector<double> kReference = {0.5, 0.25, 0.125, 0.125};
const std::vector<double> kCandidate = {0.25, 0.5, 0.125, 0.125};

TEST(RowScore, LikelihoodIsThatOfSoftmax) {
  EXPECT_NEAR(negative_log_likelihood(logits_of(kReference, 7), 0), std::log(2), 1e-6);
  EXPECT_NEAR(negative_log_likelihood(logits_of(kReference, -300), 3), std::log(8), 1e-4);
  EXPECT_TRUE(std::isnan(
      negative_log_likelihood(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN()}, 0)));
}

TEST(RowScore, DivergenceFollowsItsDefinition) {
  const RowDivergence row = compare_rows(logits_of(kReference, 1), logits_of(kCandidate, -2), 1);
  // 0.5 ln(0.5 / 0.25) + 0.25 ln(0.25 / 0.5)
  EXPECT_NEAR(row.kl, 0.25 * std::log(2), 1e-6);
  EXPECT_NEAR(row.nll, std::log(2), 1e-6);
  EXPECT_NEAR(row.reference_nll, std::log(4), 1e-6);
  EXPECT_NEAR(row.probability_change, 0.25, 1e-6);
  EXPECT_FALSE(row.same_top);
}

TEST(RowScore, EqualRowsDoNotDiverge) {
  const std::vector<float> row = logits_of(kReference, 3);
  const RowDivergence same = compare_rows(row, row, 2);
  EXPECT_EQ(same.kl, 0);
  EXPECT_TRUE(same.same_top);
  EXPECT_EQ(same.probability_change, 0);
}

TEST(RowScore, ReferenceRowsListTheLikeliestFirstAndStopWhereLittleIsLeft) {
  const std::vector<float> logits = logits_of({0.125, 0.5, 0.125, 0.25}, 0);
  const ReferenceRow all = make_reference_row(logits, 3, {.max_entries = 10, .rest = 0});
  ASSERT_EQ(all.entries.size(), 4U);
  EXPECT_EQ(all.entries[0].token, 1);
  EXPECT_EQ(all.entries[1].token, 3);
  EXPECT_EQ(all.entries[2].token, 0);  // equal ones by token
  EXPECT_NEAR(all.entries[1].log_probability(), std::log(0.25), 2.5e-4);
  EXPECT_NEAR(all.target_nll, std::log(4), 1e-6);
  EXPECT_EQ(make_reference_row(logits, 0, {.max_entries = 10, .rest = 0.3}).entries.size(), 2U);
  const ReferenceRow two = make_reference_row(logits, 0, {.max_entries = 2, .rest = 0});
  EXPECT_EQ(two.entries.size(), 2U);
  EXPECT_NEAR(two.rest, 0.25, 1e-6);
  EXPECT_EQ(all.rest, 0);
}

TEST(RowScore, ListedRowsBoundTheDivergenceFromBelow) {
  const std::vector<float> reference = logits_of(kReference, 0);
  const std::vector<float> logits = logits_of(kCandidate, 0);
  const double exact = compare_rows(reference, logits, 0).kl;
  const ReferenceRow whole = make_reference_row(reference, 0, {.max_entries = 4, .rest = 0});
  EXPECT_NEAR(compare_rows(whole, logits, 0).kl, exact, 1e-3);
  // With one token listed, the other three count as one.
  const ReferenceRow one = make_reference_row(reference, 0, {.max_entries = 1, .rest = 0});
  const double lumped = 0.5 * std::log(0.5 / 0.25) + 0.5 * std::log(0.5 / 0.75);
  EXPECT_NEAR(compare_rows(one, logits, 0).kl, lumped, 1e-3);
  EXPECT_LT(lumped, exact);
  EXPECT_EQ(compare_rows(one, logits, 0).same_top, false);
  EXPECT_NEAR(compare_rows(one, logits, 0).probability_change, -0.25, 1e-6);
}

}  // namespace
}  // namespace quern::evaluate
