// What the meter learns of steps without prompts, given times that follow a line.
#include "engine/run/step_cost_meter.h"

#include <gtest/gtest.h>

#include <random>

namespace quern::engine {
namespace {

StepPlan step_of(int32_t n_decodes, int32_t n_drafted) {
  StepPlan plan;
  plan.n_decodes = n_decodes;
  plan.n_drafted = n_drafted;
  for (int32_t i = 0; i < n_decodes; ++i) {
    plan.sequences.push_back({static_cast<SequenceId>(i + 1), 10, 1, 1, 0});
  }
  return plan;
}

TEST(StepCostMeter, OneMoreRowIsTakenToBeCheapUntilItIsMeasured) {
  StepCostMeter meter;
  EXPECT_EQ(meter.costs().rows_ns(1), 0);
  for (int i = 0; i < 10; ++i) meter.note(step_of(1, 0), 1000);
  EXPECT_NEAR(meter.costs().rows_ns(1), 1000, 1e-6);
  EXPECT_GT(meter.costs().rows_ns(9), 1000);
  EXPECT_LT(meter.costs().rows_ns(9), 9000);
}

TEST(StepCostMeter, LearnsTheLineOfRows) {
  StepCostMeter meter;
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const auto n_drafted = static_cast<int32_t>(random() % 6);
    const double noise = 0.95 + static_cast<double>(random() % 100) / 1000;
    meter.note(step_of(2, n_drafted), (800 + 100.0 * (2 + n_drafted)) * noise);
  }
  EXPECT_NEAR(meter.costs().rows_ns(2), 1000, 50);
  EXPECT_NEAR(meter.costs().rows_ns(8), 1600, 80);
  // The usual gap between tokens is that of steps without drafts.
  EXPECT_NEAR(meter.costs().decode_step_ns(2), 1000, 60);
  // It stays known when nothing is drafted any more.
  for (int i = 0; i < 300; ++i) meter.note(step_of(2, 0), 1000);
  EXPECT_NEAR(meter.costs().rows_ns(8), 1600, 120);
}

// What many streams cost must not pass for the cost of the prompts beside them, or prompts would
// get ever smaller pieces.
TEST(StepCostMeter, PromptsDoNotPayForStreamsThatWereNeverAlone) {
  constexpr double kStep = 1e6;
  constexpr double kPromptToken = 2e4;
  StepCostMeter meter;
  for (int i = 0; i < 10; ++i) meter.note(step_of(1, 0), kStep);
  const double ten_streams = kStep + 9 * meter.costs().row_ns;
  EXPECT_NEAR(meter.costs().decode_step_ns(10), ten_streams, 1e-3);
  StepPlan mixed = step_of(10, 0);
  mixed.sequences.push_back({11, 0, 8, 0, 0});
  for (int i = 0; i < 10; ++i) meter.note(mixed, ten_streams + 8 * kPromptToken);
  EXPECT_NEAR(meter.costs().prompt_token_ns, kPromptToken, kPromptToken / 100);
}

TEST(StepCostMeter, OneSlowStepIsNotTheRule) {
  StepCostMeter meter;
  for (int i = 0; i < 100; ++i) meter.note(step_of(1, i % 4), 1000 + 100.0 * (i % 4));
  const double before = meter.costs().rows_ns(5);
  meter.note(step_of(1, 3), 1e9);
  EXPECT_LT(meter.costs().rows_ns(5), before * 1.5);
}

// Too long a guess keeps the bound on gaps, too short a one breaks it.
TEST(StepCosts, BetweenTwoKnownBatchesTheLargerCounts) {
  StepCosts costs;
  costs.decode_ns[static_cast<size_t>(StepCosts::bucket(1))] = 1e6;
  costs.decode_ns[static_cast<size_t>(StepCosts::bucket(4))] = 9e6;
  EXPECT_EQ(costs.decode_step_ns(2), 9e6);
  EXPECT_EQ(costs.decode_step_ns(1), 1e6);
  EXPECT_EQ(costs.decode_step_ns(64), 9e6);
  // More sequences than were seen cost more rows.
  costs.row_ns = 1e5;
  EXPECT_EQ(costs.decode_step_ns(2), 9e6);
  EXPECT_EQ(costs.decode_step_ns(64), 9e6 + (64 - 4) * 1e5);
}

}  // namespace
}  // namespace quern::engine
