// The policy, case by case.
#include "engine/scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace quern::engine {
namespace {

Budget small() {
  return {.max_running = 3,
          .max_step_tokens = 8,
          .max_step_outputs = 3,
          .n_pages = 10,
          .page_tokens = 4};
}

// Tokens that no other sequence has, unless `content` is the same.
std::vector<TokenId> text(int64_t n_tokens, TokenId content) {
  std::vector<TokenId> tokens(static_cast<size_t>(n_tokens));
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = content * 1000 + static_cast<TokenId>(i);
  return tokens;
}

Status add(Scheduler& scheduler, SequenceId id, int64_t n_tokens, int64_t max_positions,
           NewSequence rest = {}) {
  const std::vector<TokenId> tokens = text(n_tokens, static_cast<TokenId>(id));
  rest.id = id;
  rest.tokens = tokens;
  rest.max_positions = max_positions;
  rest.first_output = n_tokens - 1;
  return scheduler.add(rest);
}

// As add(), with tokens that depend on `content` only.
Status add_text(Scheduler& scheduler, SequenceId id, int64_t n_tokens, TokenId content,
                NewSequence rest = {}) {
  const std::vector<TokenId> tokens = text(n_tokens, content);
  rest.id = id;
  rest.tokens = tokens;
  rest.max_positions = n_tokens + 4;
  rest.first_output = n_tokens - 1;
  return scheduler.add(rest);
}

void advance(Scheduler& scheduler, const StepPlan& plan) {
  scheduler.commit(plan);
  for (const PlannedSequence& planned : plan.sequences) {
    if (planned.n_outputs > 0) scheduler.append_token(planned.id, -1);
  }
  ASSERT_EQ(scheduler.check_integrity(), std::nullopt);
}

std::vector<SequenceId> planned_ids(const StepPlan& plan) {
  std::vector<SequenceId> out;
  for (const PlannedSequence& planned : plan.sequences) out.push_back(planned.id);
  return out;
}

TEST(Scheduler, ChunksAPromptAndAsksForItsLastLogits) {
  Scheduler scheduler(small());
  ASSERT_TRUE(add(scheduler, 1, 11, 20).ok());
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
  ASSERT_TRUE(add(scheduler, 1, 2, 8).ok());
  advance(scheduler, scheduler.plan());
  ASSERT_TRUE(add(scheduler, 2, 9, 12).ok());
  ASSERT_TRUE(add(scheduler, 3, 2, 4).ok());
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
  ASSERT_TRUE(add(scheduler, 1, 28, 30).ok());
  advance(scheduler, scheduler.plan());
  ASSERT_TRUE(add(scheduler, 2, 20, 30).ok());  // 5 pages, 3 free
  ASSERT_TRUE(add(scheduler, 3, 1, 2).ok());    // would fit, but is younger
  scheduler.plan();
  EXPECT_EQ(scheduler.n_running(), 1);
  EXPECT_EQ(scheduler.n_waiting(), 2);
}

TEST(Scheduler, PreemptsTheNewestAndRecomputesIt) {
  Budget budget = small();
  budget.max_idle_pages = 0;
  budget.n_pages = 4;
  Scheduler scheduler(budget);
  ASSERT_TRUE(add(scheduler, 1, 4, 16).ok());
  ASSERT_TRUE(add(scheduler, 2, 3, 16).ok());
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

// Lives of sequences that all generate, from the same step on, until a page is missing.
class PagesRunOut : public testing::Test {
 protected:
  static Budget tight(int32_t n_pages) {
    Budget budget = small();
    budget.max_running = 4;
    budget.max_step_tokens = 64;
    budget.max_step_outputs = 4;
    budget.max_idle_pages = 0;
    budget.n_pages = n_pages;
    return budget;
  }
  struct Member {
    int64_t n_tokens;
    ShareId share = 0;
    int32_t priority = 0;
  };
  void start(int32_t n_pages, const std::vector<Member>& members) {
    scheduler_.emplace(tight(n_pages));
    SequenceId id = 1;
    for (const Member& member : members) {
      const NewSequence rest = {.share = member.share, .priority = member.priority};
      ASSERT_TRUE(add(*scheduler_, id++, member.n_tokens, 40, rest).ok());
    }
    advance(*scheduler_, scheduler_->plan());
    ASSERT_EQ(scheduler_->n_running(), static_cast<int32_t>(members.size()));
  }
  // The first step in which somebody gives pages up, made.
  StepPlan next_preemption() {
    for (int step = 0; step < 40; ++step) {
      StepPlan plan = scheduler_->plan();
      EXPECT_EQ(scheduler_->check_integrity(), std::nullopt);
      advance(*scheduler_, plan);
      if (!plan.preempted.empty()) return plan;
    }
    ADD_FAILURE() << "pages never ran out";
    return {};
  }

  std::optional<Scheduler> scheduler_;
};

TEST_F(PagesRunOut, AKeyThatHoldsMoreThanItsPartGivesWayFirst) {
  // 5, 5 and 2 pages when the first sequence asks for its sixth.
  start(12, {{16, 1}, {14, 1}, {3, 2}});
  const StepPlan plan = next_preemption();
  EXPECT_EQ(plan.preempted, std::vector<SequenceId>{2}) << "not the newest, of another key";
  EXPECT_EQ(planned_ids(plan), (std::vector<SequenceId>{1, 3}));
}

TEST_F(PagesRunOut, TheSmallerKeyKeepsItsPagesWhenItAsksForOne) {
  // 5, 5 and 2 pages when the last sequence asks for its third.
  start(12, {{12, 1}, {12, 1}, {3, 2}});
  const StepPlan plan = next_preemption();
  EXPECT_EQ(plan.preempted, std::vector<SequenceId>{2}) << "though it had its pages for the step";
  EXPECT_EQ(planned_ids(plan), (std::vector<SequenceId>{1, 3}));
}

TEST_F(PagesRunOut, WithinAKeyTheLeastUrgentGivesWay) {
  start(20, {{8}, {8, 0, 5}, {8}, {8, 0, 5}});
  EXPECT_EQ(next_preemption().preempted, std::vector<SequenceId>{4}) << "of equals the newest";
  scheduler_->remove(4);
  EXPECT_EQ(next_preemption().preempted, std::vector<SequenceId>{2});
}

TEST_F(PagesRunOut, TheOldestIsSparedWhateverItHolds) {
  start(10, {{20, 1, 9}, {4, 2, 0}, {4, 2, -9}});
  std::set<SequenceId> preempted;
  while (scheduler_->n_computed(1) < 38) {
    const StepPlan plan = scheduler_->plan();
    preempted.insert(plan.preempted.begin(), plan.preempted.end());
    ASSERT_EQ(plan.sequences.front().id, 1U);
    advance(*scheduler_, plan);
  }
  EXPECT_EQ(preempted, (std::set<SequenceId>{2, 3}));
}

// A page that three sequences hold is counted once.
TEST_F(PagesRunOut, SharedPagesCountOnce) {
  Budget budget = tight(12);
  budget.max_idle_pages = INT32_MAX;
  budget.max_running = 6;
  budget.max_step_outputs = 6;
  Scheduler scheduler(budget);
  ASSERT_TRUE(add_text(scheduler, 1, 8, 7, {.share = 1}).ok());  // two pages
  for (const SequenceId id : {2, 3}) {
    ASSERT_TRUE(add_text(scheduler, id, 8, 7, {.share = 1, .leader = 1}).ok());
  }
  scheduler.commit(scheduler.plan());
  for (const SequenceId id : {2, 3}) {
    scheduler.fork(id);
    scheduler.append_token(id, -1);
  }
  scheduler.append_token(1, -1);  // each needs a third page: five in all
  ASSERT_TRUE(add(scheduler, 4, 12, 40, {.share = 2}).ok());
  ASSERT_TRUE(add(scheduler, 5, 12, 40, {.share = 2}).ok());  // six
  StepPlan plan;
  for (int step = 0; step < 10 && plan.preempted.empty(); ++step) {
    plan = scheduler.plan();
    if (plan.preempted.empty()) advance(scheduler, plan);
  }
  EXPECT_EQ(plan.preempted, std::vector<SequenceId>{5});
  EXPECT_EQ(scheduler.n_running(), 4);
}

TEST(Scheduler, RefusesWhatCanNeverFit) {
  Scheduler scheduler(small());
  const Status status = add(scheduler, 1, 5, 41);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind(), ErrorKind::kContextOverflow);
  EXPECT_NE(status.error().message().find("41"), std::string::npos);
  EXPECT_NE(status.error().message().find("40"), std::string::npos);
  EXPECT_TRUE(scheduler.idle());
}

TEST(Scheduler, PromptLogitsAreBoundedPerStep) {
  Scheduler scheduler(small());
  const std::vector<TokenId> tokens = text(6, 1);
  ASSERT_TRUE(scheduler.add({1, tokens, 8, 0}).ok());
  StepPlan plan = scheduler.plan();
  EXPECT_EQ(plan.n_outputs, 1);  // two of three rows are kept for the other two sequences
  scheduler.commit(plan);
  Budget roomy = small();
  roomy.max_step_outputs = 6;
  Scheduler wide(roomy);
  ASSERT_TRUE(wide.add({1, tokens, 8, 0}).ok());
  plan = wide.plan();
  EXPECT_EQ(plan.n_tokens, 4);
  EXPECT_EQ(plan.n_outputs, 4);
}

TEST(Scheduler, RemoveFreesPagesWhereverItStands) {
  Scheduler scheduler(small());
  ASSERT_TRUE(add(scheduler, 1, 20, 30).ok());
  ASSERT_TRUE(add(scheduler, 2, 20, 30).ok());
  scheduler.commit(scheduler.plan());
  EXPECT_EQ(scheduler.n_pages_used(), 5);
  scheduler.remove(2);
  scheduler.remove(1);
  EXPECT_EQ(scheduler.n_pages_used(), 0);
  EXPECT_TRUE(scheduler.plan().empty());
  EXPECT_EQ(scheduler.check_integrity(), std::nullopt);
}

TEST(Scheduler, AnEqualPromptIsFoundAndOnlyItsLastTokenComputed) {
  Scheduler scheduler(small());
  ASSERT_TRUE(add_text(scheduler, 1, 8, 7).ok());
  advance(scheduler, scheduler.plan());
  scheduler.remove(1);
  EXPECT_EQ(scheduler.n_pages_used(), 0);
  EXPECT_EQ(scheduler.n_pages_idle(), 2);
  ASSERT_TRUE(add_text(scheduler, 2, 8, 7).ok());
  const StepPlan plan = scheduler.plan();
  ASSERT_EQ(plan.sequences.size(), 1U);
  EXPECT_EQ(plan.sequences[0].first_position, 7);
  EXPECT_EQ(plan.sequences[0].n_tokens, 1);
  ASSERT_EQ(plan.copies.size(), 1U);  // that token goes into a page of its own
  EXPECT_EQ(plan.copies[0].to, scheduler.pages(2)[1]);
  EXPECT_EQ(scheduler.n_cached(2), 7);
  advance(scheduler, plan);
  EXPECT_EQ(scheduler.pages(2)[1], plan.copies[0].from);  // equal to what was there
}

TEST(Scheduler, ALongerPromptFindsWholePages) {
  Scheduler scheduler(small());
  ASSERT_TRUE(add_text(scheduler, 1, 7, 7).ok());
  advance(scheduler, scheduler.plan());
  ASSERT_TRUE(add_text(scheduler, 2, 10, 7).ok());
  const StepPlan plan = scheduler.plan();
  EXPECT_EQ(scheduler.n_cached(2), 4);
  EXPECT_EQ(scheduler.pages(1)[0], scheduler.pages(2)[0]);
  EXPECT_TRUE(plan.copies.empty());
}

TEST(Scheduler, SharesDoNotSeeEachOthersPrompts) {
  Scheduler scheduler(small());
  ASSERT_TRUE(add_text(scheduler, 1, 8, 7, {.share = 1}).ok());
  advance(scheduler, scheduler.plan());
  ASSERT_TRUE(add_text(scheduler, 2, 8, 7, {.share = 2}).ok());
  scheduler.plan();
  EXPECT_EQ(scheduler.n_cached(2), 0);
}

TEST(Scheduler, SetsOfAdaptersDoNotSeeEachOthersPrompts) {
  Scheduler scheduler(small());
  ASSERT_TRUE(add_text(scheduler, 1, 8, 7, {.adapters = 1}).ok());
  advance(scheduler, scheduler.plan());
  ASSERT_TRUE(add_text(scheduler, 2, 8, 7, {.adapters = 2}).ok());
  ASSERT_TRUE(add_text(scheduler, 3, 8, 7).ok());
  for (int step = 0; step < 3; ++step) advance(scheduler, scheduler.plan());
  EXPECT_EQ(scheduler.n_cached(2), 0);
  EXPECT_EQ(scheduler.n_cached(3), 0);
  scheduler.remove(3);  // makes room
  ASSERT_TRUE(add_text(scheduler, 4, 8, 7, {.adapters = 1}).ok());
  scheduler.plan();
  EXPECT_EQ(scheduler.n_cached(4), 7);
  EXPECT_EQ(scheduler.check_integrity(), std::nullopt);
}

TEST(Scheduler, PromptsThatAreEqualAtTheSameTimeAreComputedOnce) {
  Budget budget = small();
  budget.n_pages = 40;
  budget.max_step_tokens = 64;
  Scheduler scheduler(budget);
  int64_t computed = 0;
  for (const SequenceId id : {1, 2, 3}) ASSERT_TRUE(add_text(scheduler, id, 18, 7).ok());
  for (int step = 0; step < 10 && scheduler.n_computed(3) < 18; ++step) {
    const StepPlan plan = scheduler.plan();
    computed += plan.n_tokens - plan.n_decodes;
    advance(scheduler, plan);
  }
  EXPECT_EQ(computed, 18 + 2 + 2);  // the tokens after the last whole page, once each
  EXPECT_EQ(scheduler.n_cached(3), 16);
}

TEST(Scheduler, TheOldestUnusedPageIsGivenUpFirst) {
  Scheduler scheduler(small());
  for (const SequenceId id : {1, 2}) {
    ASSERT_TRUE(add_text(scheduler, id, 8, static_cast<TokenId>(id)).ok());
    advance(scheduler, scheduler.plan());
    scheduler.remove(id);
  }
  ASSERT_TRUE(add_text(scheduler, 3, 28, 3).ok());  // 7 pages of 10; 6 are free, 4 idle
  advance(scheduler, scheduler.plan());
  EXPECT_EQ(scheduler.n_pages_evicted(), 1U);
  scheduler.remove(3);
  ASSERT_TRUE(add_text(scheduler, 4, 8, 2).ok());
  scheduler.plan();
  EXPECT_EQ(scheduler.n_cached(4), 7);  // the younger one is whole
}

TEST(Scheduler, FollowersGetTheirLeadersPrompt) {
  Scheduler scheduler(small());
  ASSERT_TRUE(add_text(scheduler, 1, 6, 7).ok());
  for (const SequenceId id : {2, 3}) {
    ASSERT_TRUE(add_text(scheduler, id, 6, 7, {.leader = 1}).ok());
  }
  StepPlan plan = scheduler.plan();
  EXPECT_EQ(planned_ids(plan), std::vector<SequenceId>{1});
  scheduler.commit(plan);
  const std::vector<SequenceId> followers(scheduler.followers(1).begin(),
                                          scheduler.followers(1).end());
  EXPECT_EQ(followers, (std::vector<SequenceId>{2, 3}));
  for (const SequenceId id : followers) {
    scheduler.fork(id);
    scheduler.append_token(id, 5);
  }
  scheduler.append_token(1, 6);
  EXPECT_EQ(scheduler.n_pages_used(), 2);
  plan = scheduler.plan();
  EXPECT_EQ(planned_ids(plan), (std::vector<SequenceId>{1, 2, 3}));
  EXPECT_EQ(plan.copies.size(), 2U);  // the last one to write keeps the page
  EXPECT_EQ(scheduler.check_integrity(), std::nullopt);
}

TEST(Scheduler, AFollowerComputesThePromptWhenItsLeaderIsGone) {
  Scheduler scheduler(small());
  ASSERT_TRUE(add_text(scheduler, 1, 20, 7).ok());
  for (const SequenceId id : {2, 3}) {
    ASSERT_TRUE(add_text(scheduler, id, 20, 7, {.leader = 1}).ok());
  }
  advance(scheduler, scheduler.plan());
  scheduler.remove(1);
  EXPECT_EQ(scheduler.check_integrity(), std::nullopt);
  const StepPlan plan = scheduler.plan();
  EXPECT_EQ(planned_ids(plan), std::vector<SequenceId>{2});
  EXPECT_EQ(plan.sequences[0].first_position, 8);  // not in vain
  EXPECT_EQ(scheduler.followers(2).size(), 1U);
}

TEST(Scheduler, WhatIsDistrustedIsNotFound) {
  Scheduler scheduler(small());
  ASSERT_TRUE(add_text(scheduler, 1, 8, 7).ok());
  advance(scheduler, scheduler.plan());
  scheduler.distrust(1);
  scheduler.remove(1);
  EXPECT_EQ(scheduler.n_pages_idle(), 0);
  EXPECT_EQ(scheduler.check_integrity(), std::nullopt);
}

TEST(Scheduler, PromptsKeepTheGapOfRunningStreams) {
  Budget budget{.max_running = 4,
                .max_step_tokens = 256,
                .max_step_outputs = 4,
                .n_pages = 1000,
                .page_tokens = 32};
  StepCosts costs;
  costs.decode_ns.fill(30e6);
  costs.prompt_token_ns = 1e6;
  Scheduler scheduler(budget);
  ASSERT_TRUE(add_text(scheduler, 1, 4, 1).ok());
  advance(scheduler, scheduler.plan(costs));
  ASSERT_TRUE(add_text(scheduler, 2, 1000, 2).ok());
  StepPlan plan = scheduler.plan(costs);
  EXPECT_EQ(plan.n_tokens, 1 + 30);  // twice 30 ms
  advance(scheduler, plan);
  costs.decode_ns.fill(5e6);
  plan = scheduler.plan(costs);
  EXPECT_EQ(plan.n_tokens, 1 + 45);  // 50 ms
  advance(scheduler, plan);
  costs.position_ns = 1e6 / 128;
  plan = scheduler.plan(costs);
  EXPECT_LE(costs.prompt_ns(plan.n_tokens - 1, 75), 45e6);
  EXPECT_GT(costs.prompt_ns(plan.n_tokens, 75), 45e6);
  advance(scheduler, plan);
  costs.prompt_token_ns = 1e9;
  plan = scheduler.plan(costs);
  EXPECT_EQ(plan.n_tokens, 1 + 8);  // it must end some day
}

TEST(Scheduler, AConfiguredGapCounts) {
  Budget budget = small();
  budget.max_step_tokens = 100;
  budget.n_pages = 100;
  budget.max_gap_ns = 40e6;
  StepCosts costs;
  costs.decode_ns.fill(30e6);
  costs.prompt_token_ns = 1e6;
  Scheduler scheduler(budget);
  ASSERT_TRUE(add_text(scheduler, 1, 4, 1).ok());
  advance(scheduler, scheduler.plan(costs));
  ASSERT_TRUE(add_text(scheduler, 2, 200, 2).ok());
  EXPECT_EQ(scheduler.plan(costs).n_tokens, 1 + 10);
}

// Three answers to one prompt go on side by side, each on a copy of its last page but for the last
// one, when two streams of another key need a page each.
TEST(Scheduler, NothingIsCopiedForOneThatGaveItsPagesUp) {
  Scheduler scheduler({.max_running = 5,
                       .max_step_tokens = 20,
                       .max_step_outputs = 5,
                       .n_pages = 7,
                       .page_tokens = 4});
  ASSERT_TRUE(add_text(scheduler, 1, 10, 1, {.share = 1}).ok());
  for (const SequenceId id : {2U, 3U}) {
    ASSERT_TRUE(add_text(scheduler, id, 10, 1, {.share = 1, .leader = 1}).ok());
  }
  for (const SequenceId id : {4U, 5U}) {
    ASSERT_TRUE(add_text(scheduler, id, 4, static_cast<TokenId>(id), {.share = 2}).ok());
  }
  const StepPlan prompts = scheduler.plan();
  ASSERT_EQ(planned_ids(prompts), (std::vector<SequenceId>{1, 4, 5}));
  scheduler.commit(prompts);
  scheduler.fork(2);
  scheduler.fork(3);
  for (SequenceId id = 1; id <= 5; ++id) scheduler.append_token(id, -1);
  const StepPlan plan = scheduler.plan();
  EXPECT_EQ(plan.preempted, (std::vector<SequenceId>{3, 2}));
  ASSERT_EQ(plan.copies.size(), 1U);
  EXPECT_EQ(plan.copies[0].to, scheduler.pages(1)[2]);
  EXPECT_EQ(scheduler.check_integrity(), std::nullopt);
}

// One key has filled the queue; another's request does not wait behind it.
TEST(Scheduler, KeysShareTheMachine) {
  Budget budget = small();
  budget.max_running = 1;
  Scheduler scheduler(budget);
  for (SequenceId id = 1; id <= 20; ++id) ASSERT_TRUE(add(scheduler, id, 8, 9, {.share = 1}).ok());
  for (SequenceId id = 21; id <= 23; ++id) ASSERT_TRUE(add(scheduler, id, 8, 9, {.share = 2}).ok());
  std::vector<SequenceId> order;
  while (!scheduler.idle()) {
    const StepPlan plan = scheduler.plan();
    scheduler.commit(plan);
    order.push_back(plan.sequences[0].id);
    scheduler.remove(order.back());
  }
  const std::vector<SequenceId> first(order.begin(), order.begin() + 6);
  EXPECT_EQ(first, (std::vector<SequenceId>{1, 21, 2, 22, 3, 23}));
}

// One that was away saves nothing up: else it would have the machine to itself for as long.
TEST(Scheduler, AKeyThatComesBackStartsLevel) {
  Budget budget = small();
  budget.max_running = 1;
  Scheduler scheduler(budget);
  for (SequenceId id = 1; id <= 20; ++id) ASSERT_TRUE(add(scheduler, id, 8, 9, {.share = 1}).ok());
  const auto next = [&] {
    const StepPlan plan = scheduler.plan();
    scheduler.commit(plan);
    const SequenceId id = plan.sequences[0].id;
    scheduler.remove(id);
    return id;
  };
  for (int i = 0; i < 10; ++i) next();
  const double served = scheduler.served(1);
  EXPECT_GE(served, 80);
  for (SequenceId id = 21; id <= 30; ++id) ASSERT_TRUE(add(scheduler, id, 8, 9, {.share = 2}).ok());
  EXPECT_EQ(scheduler.served(2), served);
  std::vector<SequenceId> order;
  for (int i = 0; i < 6; ++i) order.push_back(next());
  EXPECT_EQ(order, (std::vector<SequenceId>{11, 21, 12, 22, 13, 23}));
}

TEST(Scheduler, WhoWaitsIsCountedByKey) {
  Budget budget = small();
  budget.max_running = 1;
  Scheduler scheduler(budget);
  ASSERT_TRUE(add_text(scheduler, 1, 4, 1, {.share = 1}).ok());
  ASSERT_TRUE(add_text(scheduler, 2, 4, 1, {.share = 1, .leader = 1}).ok());  // held
  ASSERT_TRUE(add(scheduler, 3, 4, 5, {.share = 2}).ok());
  using Waiting = std::map<ShareId, int32_t>;
  EXPECT_EQ(scheduler.waiting_by_share(), (Waiting{{1, 2}, {2, 1}}));
  scheduler.commit(scheduler.plan());
  EXPECT_EQ(scheduler.waiting_by_share(), (Waiting{{1, 1}, {2, 1}}));
  scheduler.remove(3);
  EXPECT_EQ(scheduler.waiting_by_share(), (Waiting{{1, 1}}));
}

TEST(Scheduler, PriorityGoesFirstButNobodyWaitsForEver) {
  Budget budget = small();
  budget.max_running = 1;
  Scheduler scheduler(budget);
  ASSERT_TRUE(add(scheduler, 1, 4, 5, {.priority = 5}).ok());
  std::vector<SequenceId> order;
  for (SequenceId id = 2; id < 60; ++id) {
    ASSERT_TRUE(add(scheduler, id, 4, 5).ok());
    const StepPlan plan = scheduler.plan();
    scheduler.commit(plan);
    order.push_back(plan.sequences[0].id);
    scheduler.remove(order.back());
  }
  EXPECT_EQ(order[0], 2U);
  EXPECT_EQ(std::find(order.begin(), order.end(), 1U) - order.begin(), WaitQueue::kMaxPassed);
}

}  // namespace
}  // namespace quern::engine
