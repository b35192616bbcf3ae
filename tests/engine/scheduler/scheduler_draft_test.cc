// Drafts in the plan: what room they may take, and what becomes of right and of wrong tokens.
#include <gtest/gtest.h>

#include "engine/scheduler/scheduler.h"

namespace quern::engine {
namespace {

Budget budget(int32_t n_pages = 10) {
  return {.max_running = 3,
          .max_step_tokens = 12,
          .max_step_outputs = 9,
          .n_pages = n_pages,
          .page_tokens = 4};
}

// A sequence with a prompt of `n_prompt` tokens, 100 * id + i, and its first token, -1, drawn.
void start(Scheduler& scheduler, SequenceId id, int64_t n_prompt, int64_t max_positions) {
  std::vector<TokenId> prompt;
  for (int64_t i = 0; i < n_prompt; ++i) {
    prompt.push_back(static_cast<TokenId>(100 * static_cast<int64_t>(id) + i));
  }
  NewSequence fresh;
  fresh.id = id;
  fresh.tokens = prompt;
  fresh.max_positions = max_positions;
  fresh.first_output = n_prompt - 1;
  ASSERT_TRUE(scheduler.add(fresh).ok());
  while (scheduler.n_computed(id) < n_prompt) {
    const StepPlan plan = scheduler.plan();
    scheduler.commit(plan);
    for (const PlannedSequence& planned : plan.sequences) {
      if (planned.n_outputs > 0) scheduler.append_token(planned.id, -1);
    }
  }
  ASSERT_EQ(scheduler.check_integrity(), std::nullopt);
}

StepPlan plan_with(Scheduler& scheduler, std::vector<Speculation> drafts) {
  return scheduler.plan({}, drafts);
}

TEST(SchedulerDraft, StandsBehindTheLastToken) {
  Scheduler scheduler(budget());
  start(scheduler, 1, 3, 30);
  ASSERT_TRUE(scheduler.generates(1));
  const StepPlan plan = plan_with(scheduler, {{1, 6}});
  ASSERT_EQ(plan.sequences.size(), 1U);
  EXPECT_EQ(plan.sequences[0].first_position, 3);
  EXPECT_EQ(plan.sequences[0].n_tokens, 7);
  EXPECT_EQ(plan.sequences[0].n_outputs, 7);
  EXPECT_EQ(plan.sequences[0].n_drafted, 6);
  EXPECT_EQ(plan.n_decodes, 1);
  EXPECT_EQ(plan.n_tokens, 7);
  EXPECT_EQ(scheduler.pages(1).size(), 3U);  // 10 positions
  ASSERT_EQ(scheduler.check_integrity(), std::nullopt);
}

TEST(SchedulerDraft, WrongTokensLeaveNoTrace) {
  Scheduler scheduler(budget());
  start(scheduler, 1, 3, 30);
  const double served = scheduler.served(0);
  const StepPlan plan = plan_with(scheduler, {{1, 6}});
  scheduler.commit(plan);
  EXPECT_EQ(scheduler.n_computed(1), 4);
  scheduler.append_token(1, -2);
  EXPECT_EQ(scheduler.pages(1).size(), 1U);
  EXPECT_EQ(scheduler.n_pages_used(), 1);
  EXPECT_EQ(scheduler.served(0) - served, 2);  // as for one token
  ASSERT_EQ(scheduler.check_integrity(), std::nullopt);
  EXPECT_EQ(scheduler.plan().sequences[0].first_position, 4);
}

TEST(SchedulerDraft, RightTokensCountAsComputedAndAreFiled) {
  Scheduler scheduler(budget());
  start(scheduler, 1, 3, 30);
  const double served = scheduler.served(0);
  scheduler.commit(plan_with(scheduler, {{1, 6}}));
  for (const TokenId token : {10, 11, 12, 13}) scheduler.confirm_token(1, token);
  scheduler.append_token(1, 99);
  EXPECT_EQ(scheduler.n_computed(1), 8);
  EXPECT_EQ(scheduler.pages(1).size(), 2U);
  EXPECT_EQ(scheduler.served(0) - served, 10);
  ASSERT_EQ(scheduler.check_integrity(), std::nullopt);
  const StepPlan next = scheduler.plan();
  EXPECT_EQ(next.sequences[0].first_position, 8);
  EXPECT_EQ(next.sequences[0].n_outputs, 1);
  const std::vector<TokenId> known = {100, 101, 102, -1, 10, 11, 12, 13};
  EXPECT_EQ(scheduler.known_pages(0, known, 2).size(), 2U);
}

TEST(SchedulerDraft, TheTreeNeverLearnsWrongTokens) {
  Scheduler scheduler(budget());
  start(scheduler, 1, 3, 30);
  scheduler.commit(plan_with(scheduler, {{1, 6}}));  // of 20, 21, 22, 23, 24, 25, say
  scheduler.confirm_token(1, 20);
  scheduler.append_token(1, 30);
  const std::vector<TokenId> guessed = {100, 101, 102, -1, 20, 21, 22, 23};
  EXPECT_EQ(scheduler.known_pages(0, guessed, 2).size(), 1U);
  scheduler.remove(1);
  EXPECT_EQ(scheduler.known_pages(0, guessed, 2).size(), 1U);
  ASSERT_EQ(scheduler.check_integrity(), std::nullopt);
}

TEST(SchedulerDraft, KeepsTheBoundsOfSequenceAndStep) {
  Scheduler scheduler(budget());
  start(scheduler, 1, 3, 6);
  start(scheduler, 2, 3, 30);
  const StepPlan plan = plan_with(scheduler, {{1, 6}, {2, 8}, {7, 3}});
  ASSERT_EQ(plan.sequences.size(), 2U);
  EXPECT_EQ(plan.sequences[0].n_drafted, 1);  // 5 tokens are known, 6 may be computed
  EXPECT_EQ(plan.n_outputs, 9);
  EXPECT_EQ(plan.n_drafted, 7);
}

TEST(SchedulerDraft, NotBesidePromptsAndNotBehindThem) {
  Scheduler scheduler(budget(20));
  start(scheduler, 1, 3, 30);
  NewSequence prompt;
  const std::vector<TokenId> tokens(14, 7);
  prompt.id = 2;
  prompt.tokens = tokens;
  prompt.max_positions = 20;
  prompt.first_output = 13;
  ASSERT_TRUE(scheduler.add(prompt).ok());
  EXPECT_TRUE(scheduler.expects_prompts());
  bool done = false;
  while (!done) {
    const StepPlan plan = plan_with(scheduler, {{1, 4}, {2, 4}});
    ASSERT_EQ(plan.n_drafted, 0);
    done = scheduler.n_computed(2) + plan.sequences.back().n_tokens == 14;
    scheduler.commit(plan);
    scheduler.append_token(1, 5);
    if (done) scheduler.append_token(2, 6);
  }
  EXPECT_FALSE(scheduler.expects_prompts());
  EXPECT_EQ(plan_with(scheduler, {{1, 3}, {2, 3}}).n_drafted, 6);
}

TEST(SchedulerDraft, TakesNoPageFromASequenceButFromTheTree) {
  Scheduler scheduler(budget(4));
  start(scheduler, 1, 7, 16);
  scheduler.remove(1);
  EXPECT_EQ(scheduler.n_pages_idle(), 1);
  start(scheduler, 2, 3, 16);
  start(scheduler, 3, 3, 16);
  // A page each, and two that are free or idle.
  const StepPlan plan = plan_with(scheduler, {{2, 6}, {3, 6}});
  EXPECT_TRUE(plan.preempted.empty());
  EXPECT_EQ(scheduler.n_pages_used(), 4);
  EXPECT_EQ(plan.sequences.size(), 2U);
  EXPECT_GT(plan.n_drafted, 0);
  ASSERT_EQ(scheduler.check_integrity(), std::nullopt);
}

}  // namespace
}  // namespace quern::engine
