// Random arrivals, lengths, cancels, failed steps and page exhaustion: integrity after each step,
// plan limits, and a ledger in which every accepted sequence ends exactly once with the right
// number of tokens, computed in the right order.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "engine/scheduler/scheduler.h"

namespace quern::engine {
namespace {

struct Job {
  int64_t n_prompt = 0;
  int64_t n_tokens = 0;    // known
  int64_t target = 0;      // ends when that many are known
  int64_t n_computed = 0;  // contiguous from 0, reset by preemption
  int64_t next_output = 0;
};

class Simulation {
 public:
  explicit Simulation(uint32_t seed) : random_(seed), scheduler_(make_budget()) {}

  void run() {
    for (int step = 0; step < 40; ++step) {
      arrive();
      cancel();
      turn();
      if (testing::Test::HasFatalFailure()) return;
    }
    for (int step = 0; !jobs_.empty(); ++step) {
      ASSERT_LT(step, 20000) << "does not come to an end";
      turn();
      if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_TRUE(scheduler_.idle());
    EXPECT_EQ(scheduler_.n_pages_used(), 0);
    EXPECT_EQ(n_ended_, n_accepted_);
  }

  int64_t preemptions() const { return n_preempted_; }

 private:
  Budget make_budget() {
    Budget budget;
    budget.max_running = 1 + draw(6);
    budget.max_step_tokens = budget.max_running + draw(20);
    budget.max_step_outputs = budget.max_running + draw(4);
    budget.page_tokens = 1 + draw(8);
    budget.n_pages = 4 + draw(30);
    return budget;
  }

  int32_t draw(uint32_t bound) { return static_cast<int32_t>(random_() % bound); }

  void arrive() {
    const Budget& budget = scheduler_.budget();
    for (int i = draw(3); i > 0; --i) {
      Job job;
      job.n_prompt = 1 + draw(40);
      job.n_tokens = job.n_prompt;
      job.target = job.n_prompt + 1 + draw(40);
      job.next_output = draw(8) == 0 ? 0 : job.n_prompt - 1;
      const SequenceId id = next_id_++;
      const int64_t capacity = int64_t{budget.n_pages} * budget.page_tokens;
      const Status added = scheduler_.add({id, job.n_prompt, job.target - 1, job.next_output});
      ASSERT_EQ(added.ok(), job.target - 1 <= capacity);
      if (!added.ok()) continue;
      ++n_accepted_;
      jobs_.emplace(id, job);
    }
  }

  void cancel() {
    if (jobs_.empty() || draw(10) != 0) return;
    end(std::next(jobs_.begin(), draw(static_cast<uint32_t>(jobs_.size())))->first);
  }

  void end(SequenceId id) {
    scheduler_.remove(id);
    ASSERT_EQ(jobs_.erase(id), 1U);
    ++n_ended_;
  }

  void turn() {
    const StepPlan plan = scheduler_.plan();
    ASSERT_EQ(scheduler_.check_integrity(), std::nullopt);
    ASSERT_EQ(plan.empty(), jobs_.empty());
    check_plan(plan);
    if (testing::Test::HasFatalFailure()) return;
    if (draw(40) == 0) {  // the step failed: its sequences end
      for (const PlannedSequence& planned : plan.sequences) end(planned.id);
      return;
    }
    scheduler_.commit(plan);
    for (const PlannedSequence& planned : plan.sequences) {
      Job& job = jobs_.at(planned.id);
      job.n_computed += planned.n_tokens;
      job.next_output += planned.n_outputs;
      if (job.n_computed < job.n_tokens) continue;
      ++job.n_tokens;
      if (job.n_tokens == job.target) {
        end(planned.id);
      } else {
        scheduler_.append_token(planned.id);
      }
    }
    ASSERT_EQ(scheduler_.check_integrity(), std::nullopt);
  }

  void check_plan(const StepPlan& plan) {
    const Budget& budget = scheduler_.budget();
    for (const SequenceId id : plan.preempted) {
      jobs_.at(id).n_computed = 0;
      ++n_preempted_;
    }
    int32_t n_tokens = 0;
    int32_t n_outputs = 0;
    std::set<SequenceId> seen;
    for (const PlannedSequence& planned : plan.sequences) {
      ASSERT_TRUE(seen.insert(planned.id).second);
      const Job& job = jobs_.at(planned.id);
      ASSERT_GE(planned.n_tokens, 1);
      ASSERT_EQ(planned.first_position, job.n_computed);
      const int64_t end = planned.first_position + planned.n_tokens;
      ASSERT_LE(end, job.n_tokens);
      // Every position from the first wanted one on has its logits read exactly once.
      ASSERT_EQ(planned.n_outputs, std::max<int64_t>(0, end - job.next_output));
      ASSERT_LE(end,
                static_cast<int64_t>(scheduler_.pages(planned.id).size()) * budget.page_tokens);
      n_tokens += planned.n_tokens;
      n_outputs += planned.n_outputs;
    }
    ASSERT_EQ(n_tokens, plan.n_tokens);
    ASSERT_EQ(n_outputs, plan.n_outputs);
    ASSERT_LE(n_tokens, budget.max_step_tokens);
    ASSERT_LE(n_outputs, budget.max_step_outputs);
    // Every running sequence advances in every step.
    ASSERT_EQ(static_cast<int32_t>(plan.sequences.size()), scheduler_.n_running());
  }

  std::mt19937 random_;
  Scheduler scheduler_;
  std::map<SequenceId, Job> jobs_;
  SequenceId next_id_ = 1;
  int64_t n_accepted_ = 0;
  int64_t n_ended_ = 0;
  int64_t n_preempted_ = 0;
};

TEST(SchedulerSimulation, EveryAcceptedSequenceEndsExactlyOnce) {
  int64_t preemptions = 0;
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    Simulation simulation(seed);
    simulation.run();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    preemptions += simulation.preemptions();
  }
  EXPECT_GT(preemptions, 1000) << "the simulation no longer reaches page exhaustion";
}

}  // namespace
}  // namespace quern::engine
