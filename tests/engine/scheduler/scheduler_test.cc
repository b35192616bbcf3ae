// The policy, case by case.
#include "engine/scheduler/scheduler.h"

#include <gtest/gtest.h>

namespace quern::engine {
namespace {

Budget small() {
  return {.max_running = 3,
          .max_step_tokens = 8,
          .max_step_outputs = 3,
          .n_pages = 10,
          .page_tokens = 4};
}

NewSequence sequence(SequenceId id, int64_t n_tokens, int64_t max_positions) {
  return {id, n_tokens, max_positions, n_tokens - 1};
}

void advance(Scheduler& scheduler, const StepPlan& plan) {
  scheduler.commit(plan);
  for (const PlannedSequence& planned : plan.sequences) {
    if (planned.n_outputs > 0) scheduler.append_token(planned.id);
  }
}

TEST(Scheduler, ChunksAPromptAndAsksForItsLastLogits) {
  Scheduler scheduler(small());
  ASSERT_TRUE(scheduler.add(sequence(1, 11, 20)).ok());
  StepPlan plan = scheduler.plan();
  ASSERT_EQ(plan.sequences.size(), 1U);
  EXPECT_EQ(plan.sequences[0].n_tokens, 8);
  EXPECT_EQ(plan.sequences[0].n_outputs, 0);
  advance(scheduler, plan);
  plan = scheduler.plan();
  EXPECT_EQ(plan.sequences[0].first_position, 8);
  EXPECT_EQ(plan.sequences[0].n_tokens, 3);
  EXPECT_EQ(plan.sequences[0].n_outputs, 1);
}

TEST(Scheduler, DecodesComeFirstAndPromptsShareTheRest) {
  Scheduler scheduler(small());
  ASSERT_TRUE(scheduler.add(sequence(1, 2, 8)).ok());
  advance(scheduler, scheduler.plan());
  ASSERT_TRUE(scheduler.add(sequence(2, 9, 12)).ok());
  ASSERT_TRUE(scheduler.add(sequence(3, 2, 4)).ok());
  StepPlan plan = scheduler.plan();
  ASSERT_EQ(plan.sequences.size(), 2U);
  EXPECT_EQ(plan.sequences[0].id, 1U);
  EXPECT_EQ(plan.sequences[0].n_tokens, 1);
  EXPECT_EQ(plan.sequences[1].id, 2U);
  EXPECT_EQ(plan.sequences[1].n_tokens, 7);
  advance(scheduler, plan);
  plan = scheduler.plan();
  ASSERT_EQ(plan.sequences.size(), 3U);
  EXPECT_EQ(plan.sequences[1].n_tokens, 2);
  EXPECT_EQ(plan.sequences[2].id, 3U);
}

TEST(Scheduler, AdmitsInOrderOnly) {
  Scheduler scheduler(small());
  ASSERT_TRUE(scheduler.add(sequence(1, 28, 30)).ok());
  advance(scheduler, scheduler.plan());
  ASSERT_TRUE(scheduler.add(sequence(2, 20, 30)).ok());  // 5 pages, 3 free
  ASSERT_TRUE(scheduler.add(sequence(3, 1, 2)).ok());    // would fit, but is younger
  scheduler.plan();
  EXPECT_EQ(scheduler.n_running(), 1);
  EXPECT_EQ(scheduler.n_waiting(), 2);
}

TEST(Scheduler, PreemptsTheNewestAndRecomputesIt) {
  Budget budget = small();
  budget.n_pages = 4;
  Scheduler scheduler(budget);
  ASSERT_TRUE(scheduler.add(sequence(1, 4, 16)).ok());
  ASSERT_TRUE(scheduler.add(sequence(2, 3, 16)).ok());
  int64_t preempted_at = -1;
  for (int step = 0; step < 20 && preempted_at < 0; ++step) {
    const StepPlan plan = scheduler.plan();
    for (const SequenceId id : plan.preempted) {
      EXPECT_EQ(id, 2U);
      preempted_at = step;
    }
    ASSERT_EQ(scheduler.check_integrity(), std::nullopt);
    advance(scheduler, plan);
  }
  ASSERT_GE(preempted_at, 0);
  EXPECT_EQ(scheduler.n_waiting(), 1);
  EXPECT_EQ(scheduler.n_computed(2), 0);
  scheduler.remove(1);
  const StepPlan plan = scheduler.plan();
  ASSERT_EQ(plan.sequences.size(), 1U);
  EXPECT_EQ(plan.sequences[0].id, 2U);
  EXPECT_EQ(plan.sequences[0].first_position, 0);
  EXPECT_GT(plan.sequences[0].n_tokens, 3);  // its generated tokens again, as prompt
}

TEST(Scheduler, RefusesWhatCanNeverFit) {
  Scheduler scheduler(small());
  const Status status = scheduler.add(sequence(1, 5, 41));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind(), ErrorKind::kContextOverflow);
  EXPECT_NE(status.error().message().find("41"), std::string::npos);
  EXPECT_NE(status.error().message().find("40"), std::string::npos);
  EXPECT_TRUE(scheduler.idle());
}

TEST(Scheduler, PromptLogitsAreBoundedPerStep) {
  Scheduler scheduler(small());
  ASSERT_TRUE(scheduler.add({1, 6, 8, 0}).ok());
  StepPlan plan = scheduler.plan();
  EXPECT_EQ(plan.n_outputs, 1);  // two of three rows are kept for the other two sequences
  scheduler.commit(plan);
  Budget roomy = small();
  roomy.max_step_outputs = 6;
  Scheduler wide(roomy);
  ASSERT_TRUE(wide.add({1, 6, 8, 0}).ok());
  plan = wide.plan();
  EXPECT_EQ(plan.n_tokens, 4);
  EXPECT_EQ(plan.n_outputs, 4);
}

TEST(Scheduler, RemoveFreesPagesWhereverItStands) {
  Scheduler scheduler(small());
  ASSERT_TRUE(scheduler.add(sequence(1, 20, 30)).ok());
  ASSERT_TRUE(scheduler.add(sequence(2, 20, 30)).ok());
  scheduler.commit(scheduler.plan());
  EXPECT_EQ(scheduler.n_pages_used(), 5);
  scheduler.remove(2);
  scheduler.remove(1);
  EXPECT_EQ(scheduler.n_pages_used(), 0);
  EXPECT_TRUE(scheduler.plan().empty());
  EXPECT_EQ(scheduler.check_integrity(), std::nullopt);
}

}  // namespace
}  // namespace quern::engine
