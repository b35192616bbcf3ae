// Ten thousand random lives of a Scheduler on a fake model and a fake clock: arrivals with shared
// prompts, shares, priorities, forks, cancels in every state, failed steps, spoilt results, drafts
// that are right for a while, restarts with fewer tokens and page exhaustion. After each step:
// integrity, plan limits, and contents; at the end a ledger in which every accepted sequence ends
// exactly once.
//
// The fake model writes into each position of a page the hash of all tokens up to there. Whatever a
// plan reads must be the hash of its own tokens, so a page that is shared wrongly, copied too late,
// given up too early or written by two shows at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "engine/scheduler/scheduler.h"

namespace quern::engine {
namespace {

constexpr uint32_t kSeeds = 10000;

uint64_t mix(uint64_t state, uint64_t value) {
  state = (state ^ (value + 0x9E3779B97F4A7C15ULL)) * 0xBF58476D1CE4E5B9ULL;
  return state ^ (state >> 29);
}

struct Job {
  std::vector<TokenId> tokens;  // known
  int64_t n_prompt = 0;
  int64_t target = 0;  // ends when that many are known
  int64_t next_output = 0;
  ShareId share = 0;
  uint64_t adapters = 0;
  int32_t priority = 0;
  bool drawn = false;  // of the prompt's logits
};

// What is reached at least once over all seeds, or the simulation has lost its teeth.
struct Reached {
  int64_t preemptions = 0;
  int64_t older_victims = 0;  // preempted although newer ones went on
  int64_t cached_tokens = 0;
  int64_t copies = 0;
  int64_t forks = 0;
  int64_t orphans = 0;  // followers whose leader went early
  int64_t evictions = 0;
  int64_t chunks_cut = 0;  // by the gap of streams
  int64_t spoilt = 0;
  int64_t drafted = 0;
  int64_t confirmed = 0;
  int64_t rejected = 0;
  int64_t drafts_cut = 0;  // for want of room
  int64_t restarts = 0;
};

class Simulation {
 public:
  Simulation(uint32_t seed, Reached& reached)
      : random_(seed), reached_(reached), scheduler_(make_budget()) {
    const Budget& budget = scheduler_.budget();
    memory_.assign(static_cast<size_t>(budget.n_pages),
                   std::vector<uint64_t>(static_cast<size_t>(budget.page_tokens), 0));
    for (double& ns : costs_.decode_ns) ns = draw(3) == 0 ? 0 : 1e6 * (1 + draw(50));
    costs_.prompt_token_ns = draw(4) == 0 ? 0 : 1e5 * (1 + draw(100));
    costs_.position_ns = draw(2) == 0 ? 0 : 1e3 * draw(100);
  }

  void run() {
    for (int step = 0; step < 12; ++step) {
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
    reached_.evictions += static_cast<int64_t>(scheduler_.n_pages_evicted());
  }

 private:
  Budget make_budget() {
    Budget budget;
    budget.max_running = 1 + draw(5);
    budget.max_step_tokens = budget.max_running + draw(20);
    budget.max_step_outputs = budget.max_running + draw(4);
    budget.page_tokens = 1 + draw(6);
    budget.n_pages = 4 + draw(24);
    if (draw(4) == 0) budget.max_idle_pages = draw(6);
    if (draw(3) == 0) budget.max_gap_ns = 1e6 * draw(100);
    return budget;
  }

  int32_t draw(uint32_t bound) { return static_cast<int32_t>(random_() % bound); }

  // Beginnings are few, so that many agree for a while.
  std::vector<TokenId> make_prompt() {
    std::vector<TokenId> tokens;
    const TokenId beginning = draw(2);
    const int32_t n_common = draw(24);
    for (int32_t i = 0; i < n_common; ++i) tokens.push_back(10 * beginning + i % 3);
    for (int32_t n = 1 + draw(6); n > 0; --n) tokens.push_back(draw(3));
    return tokens;
  }

  void arrive() {
    for (int i = draw(3); i > 0; --i) {
      Job job;
      job.tokens = make_prompt();
      job.n_prompt = static_cast<int64_t>(job.tokens.size());
      job.target = job.n_prompt + 1 + draw(16);
      job.next_output = draw(8) == 0 ? draw(static_cast<uint32_t>(job.n_prompt)) : job.n_prompt - 1;
      job.share = static_cast<ShareId>(draw(3));
      job.adapters = draw(4) == 0 ? 1 + static_cast<uint64_t>(draw(2)) : 0;
      job.priority = draw(3) - 1;
      std::optional<SequenceId> leader;
      for (int members = draw(4) == 0 ? 2 + draw(3) : 1; members > 0; --members) {
        const SequenceId id = next_id_++;
        if (!add(id, job, leader)) break;
        if (!leader) leader = id;
      }
    }
  }

  bool add(SequenceId id, const Job& job, std::optional<SequenceId> leader) {
    const Budget& budget = scheduler_.budget();
    const int64_t capacity = int64_t{budget.n_pages} * budget.page_tokens;
    const int64_t positions = std::max(job.n_prompt, job.target - 1);
    const Status added = scheduler_.add({id, job.tokens, positions, job.next_output, job.share,
                                         job.priority, leader, job.adapters});
    EXPECT_EQ(added.ok(), positions <= capacity);
    if (!added.ok()) return false;
    ++n_accepted_;
    jobs_.emplace(id, job);
    return true;
  }

  void cancel() {
    if (jobs_.empty() || draw(6) != 0) return;
    const auto chosen = std::next(jobs_.begin(), draw(static_cast<uint32_t>(jobs_.size())));
    reached_.orphans += static_cast<int64_t>(scheduler_.followers(chosen->first).size());
    end(chosen->first);
  }

  void end(SequenceId id) {
    scheduler_.remove(id);
    ASSERT_EQ(jobs_.erase(id), 1U);
    ++n_ended_;
  }

  void turn() {
    std::vector<SequenceId> streams;
    for (const auto& [id, job] : jobs_) {
      if (!scheduler_.pages(id).empty() &&
          scheduler_.n_computed(id) + 1 == static_cast<int64_t>(job.tokens.size())) {
        streams.push_back(id);
      }
    }
    const Holdings before = look_at_pages();
    const std::vector<Speculation> wanted = make_drafts();
    const StepPlan plan = scheduler_.plan(costs_, wanted);
    ASSERT_EQ(scheduler_.check_integrity(), std::nullopt);
    ASSERT_EQ(plan.empty(), jobs_.empty());
    check_victims(plan, before);
    check_limits(plan);
    check_streams(plan, streams);
    check_gap(plan);
    check_drafts(plan, wanted);
    for (const PageCopy& copy : plan.copies) {
      memory_[static_cast<size_t>(copy.to)] = memory_[static_cast<size_t>(copy.from)];
      ++reached_.copies;
    }
    for (const PlannedSequence& planned : plan.sequences) compute(planned);
    if (testing::Test::HasFatalFailure()) return;
    reached_.preemptions += static_cast<int64_t>(plan.preempted.size());
    if (draw(40) == 0) {  // the step failed: its sequences end
      for (const PlannedSequence& planned : plan.sequences) end(planned.id);
    } else {
      scheduler_.commit(plan);
      for (const PlannedSequence& planned : plan.sequences) advance(planned);
    }
    ASSERT_EQ(scheduler_.check_integrity(), std::nullopt);
  }

  // For some sequences, in whatever state they are.
  std::vector<Speculation> make_drafts() {
    drafts_.clear();
    std::vector<Speculation> wanted;
    if (draw(3) == 0) return wanted;
    for (const auto& [id, job] : jobs_) {
      if (draw(4) == 0) continue;
      std::vector<TokenId>& draft = drafts_[id];
      for (int32_t n = draw(8); n > 0; --n) draft.push_back(draw(2));
      wanted.push_back({id, static_cast<int32_t>(draft.size())});
    }
    return wanted;
  }

  // Reads all positions before the planned ones, writes those, drafted ones too.
  void compute(const PlannedSequence& planned) {
    const Job& job = jobs_.at(planned.id);
    const auto pages = scheduler_.pages(planned.id);
    const auto width = static_cast<size_t>(scheduler_.budget().page_tokens);
    const auto first = static_cast<size_t>(planned.first_position);
    const auto end = first + static_cast<size_t>(planned.n_tokens);
    ASSERT_LE(end, pages.size() * width);
    uint64_t state = mix(job.share, job.adapters);
    for (size_t position = 0; position < end; ++position) {
      const TokenId token = position < job.tokens.size()
                                ? job.tokens[position]
                                : drafts_.at(planned.id)[position - job.tokens.size()];
      state = mix(state, static_cast<uint64_t>(token));
      uint64_t& cell = memory_[static_cast<size_t>(pages[position / width])][position % width];
      if (position >= first) {
        cell = state;
      } else {
        ASSERT_EQ(cell, state) << "sequence " << planned.id << " reads foreign contents at "
                               << position;
      }
    }
  }

  void advance(const PlannedSequence& planned) {
    const auto found = jobs_.find(planned.id);
    if (found == jobs_.end()) return;
    Job& job = found->second;
    job.next_output += planned.n_outputs - planned.n_drafted;
    if (planned.first_position + planned.n_tokens < static_cast<int64_t>(job.tokens.size())) return;
    if (planned.n_drafted > 0) {
      draw_drafted(planned);
      return;
    }
    const bool first = !job.drawn;
    if (first) {
      reached_.cached_tokens += scheduler_.n_cached(planned.id);
      const auto span = scheduler_.followers(planned.id);
      const std::vector<SequenceId> followers(span.begin(), span.end());
      for (const SequenceId follower : followers) fork(follower);
    }
    draw_token(planned.id);
  }

  void fork(SequenceId follower) {
    ++reached_.forks;
    scheduler_.fork(follower);
    Job& job = jobs_.at(follower);
    job.next_output = job.n_prompt;
    draw_token(follower);
  }

  // What is drawn equals the draft half of the time.
  void draw_drafted(const PlannedSequence& planned) {
    const std::vector<TokenId> draft = drafts_.at(planned.id);
    const int64_t computed = scheduler_.n_computed(planned.id);
    ASSERT_EQ(computed, planned.first_position + 1);
    for (size_t i = 0;; ++i) {
      const bool guessed = i < static_cast<size_t>(planned.n_drafted);
      const size_t n_before = jobs_.at(planned.id).tokens.size();
      const bool goes_on = draw_token(planned.id, guessed ? std::optional(draft[i]) : std::nullopt);
      if (testing::Test::HasFatalFailure() || !goes_on || !guessed) return;
      if (jobs_.at(planned.id).tokens[n_before] != draft[i]) {
        ++reached_.rejected;
        return;
      }
      ++reached_.confirmed;
      ++jobs_.at(planned.id).next_output;
      ASSERT_EQ(scheduler_.n_computed(planned.id), computed + static_cast<int64_t>(i) + 1);
    }
  }

  // False when the sequence ended or goes on with other tokens.
  bool draw_token(SequenceId id, std::optional<TokenId> guess = {}) {
    Job& job = jobs_.at(id);
    job.drawn = true;
    if (draw(60) == 0) {  // not a number
      ++reached_.spoilt;
      scheduler_.distrust(id);
      end(id);
      return false;
    }
    job.tokens.push_back(draw(2));
    if (static_cast<int64_t>(job.tokens.size()) == job.target) {
      end(id);
      return false;
    }
    if (draw(60) == 0) {  // its context shifts
      ++reached_.restarts;
      const auto n_dropped = draw(static_cast<uint32_t>(job.tokens.size()));
      job.tokens.erase(job.tokens.begin(), job.tokens.begin() + n_dropped);
      const auto n_tokens = static_cast<int64_t>(job.tokens.size());
      job.next_output = n_tokens - 1;
      scheduler_.restart(id, job.tokens, std::max(n_tokens, job.target - 1));
      return false;
    }
    if (job.tokens.back() == guess) {
      scheduler_.confirm_token(id, *guess);
    } else {
      scheduler_.append_token(id, job.tokens.back());
    }
    return true;
  }

  // Somebody goes on writing in the middle of this page.
  bool is_continued(PageId page) const {
    const int64_t width = scheduler_.budget().page_tokens;
    return std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& item) {
      const auto pages = scheduler_.pages(item.first);
      const int64_t at = scheduler_.n_computed(item.first);
      return at % width != 0 && pages[static_cast<size_t>(at / width)] == page;
    });
  }

  void check_limits(const StepPlan& plan) {
    const Budget& budget = scheduler_.budget();
    int32_t n_tokens = 0;
    int32_t n_outputs = 0;
    std::set<SequenceId> seen;
    std::map<PageId, SequenceId> written;
    for (const PlannedSequence& planned : plan.sequences) {
      ASSERT_TRUE(seen.insert(planned.id).second);
      const Job& job = jobs_.at(planned.id);
      ASSERT_GE(planned.n_tokens, 1);
      ASSERT_EQ(planned.first_position, scheduler_.n_computed(planned.id));
      const int64_t end = planned.first_position + planned.n_tokens;
      ASSERT_LE(end - planned.n_drafted, static_cast<int64_t>(job.tokens.size()));
      ASSERT_LE(end, std::max(job.n_prompt, job.target - 1));
      // Every position from the first wanted one on has its logits read exactly once, or more
      // often where drafts were wrong.
      ASSERT_EQ(planned.n_outputs, std::max<int64_t>(0, end - job.next_output));
      ASSERT_LE(planned.first_position, job.next_output);
      n_tokens += planned.n_tokens;
      n_outputs += planned.n_outputs;
      const auto pages = scheduler_.pages(planned.id);
      for (int64_t at = planned.first_position; at < end; ++at) {
        const PageId page = pages[static_cast<size_t>(at / budget.page_tokens)];
        const auto owner = written.emplace(page, planned.id).first->second;
        ASSERT_EQ(owner, planned.id) << "two sequences write page " << page;
      }
    }
    // Nothing is copied but for one that goes on behind it: not for one that has given its pages
    // up.
    std::set<PageId> targets;
    for (const PageCopy& copy : plan.copies) {
      ASSERT_TRUE(is_continued(copy.to));
      ASSERT_TRUE(targets.insert(copy.to).second);
    }
    ASSERT_EQ(n_tokens, plan.n_tokens);
    ASSERT_EQ(n_outputs, plan.n_outputs);
    ASSERT_LE(n_tokens, budget.max_step_tokens);
    ASSERT_LE(n_outputs, budget.max_step_outputs);
    // No page that is written can be read by another.
    for (const auto& [id, job] : jobs_) {
      const auto pages = scheduler_.pages(id);
      const auto n_read =
          static_cast<size_t>(pages_for(scheduler_.n_computed(id), budget.page_tokens));
      for (size_t i = 0; i < std::min(n_read, pages.size()); ++i) {
        const auto owner = written.find(pages[i]);
        ASSERT_TRUE(owner == written.end() || owner->second == id);
      }
    }
  }

  // Who runs, what each share holds, and how many pages its streams may take in the next step.
  struct Holdings {
    std::set<SequenceId> running;
    std::map<ShareId, std::set<PageId>> pages;
    std::map<ShareId, size_t> growth;
  };
  Holdings look_at_pages() const {
    Holdings out;
    for (const auto& [id, job] : jobs_) {
      const auto pages = scheduler_.pages(id);
      if (pages.empty()) continue;
      out.running.insert(id);
      out.pages[job.share].insert(pages.begin(), pages.end());
      const auto n_tokens = static_cast<int64_t>(job.tokens.size());
      if (scheduler_.n_computed(id) + 1 == n_tokens) ++out.growth[job.share];
    }
    return out;
  }

  // Those that ran before and run on.
  std::vector<SequenceId> survivors(const StepPlan& plan, const Holdings& before) const {
    std::vector<SequenceId> out;
    for (const SequenceId id : before.running) {
      const auto& gone = plan.preempted;
      if (std::find(gone.begin(), gone.end(), id) == gone.end()) out.push_back(id);
    }
    return out;
  }

  // The oldest loses nothing. A share that gave way held as much as any that did not, but for the
  // pages that both took in this step; and within it nobody less entitled went on.
  void check_victims(const StepPlan& plan, const Holdings& before) {
    if (plan.preempted.empty()) return;
    const std::vector<SequenceId> left = survivors(plan, before);
    const SequenceId oldest = *before.running.begin();
    ASSERT_FALSE(left.empty());
    ASSERT_EQ(left.front(), oldest) << "the oldest gave its pages up";
    std::map<ShareId, std::set<PageId>> kept;
    std::set<ShareId> could_give;
    for (const SequenceId id : left) {
      // Pages behind its tokens are for guesses and come from what nobody wants.
      const auto n_tokens = static_cast<int64_t>(jobs_.at(id).tokens.size());
      const auto n_pages =
          static_cast<size_t>(pages_for(n_tokens, scheduler_.budget().page_tokens));
      const auto pages = scheduler_.pages(id);
      const auto own = pages.first(std::min(n_pages, pages.size()));
      kept[jobs_.at(id).share].insert(own.begin(), own.end());
      if (id != oldest) could_give.insert(jobs_.at(id).share);
    }
    const auto growth = [&](ShareId share) {
      const auto found = before.growth.find(share);
      return found == before.growth.end() ? 0 : found->second;
    };
    for (const SequenceId id : plan.preempted) {
      const Job& victim = jobs_.at(id);
      for (const ShareId share : could_give) {
        if (share == victim.share) continue;
        ASSERT_GE(before.pages.at(victim.share).size() + growth(victim.share) + growth(share),
                  kept.at(share).size())
            << "share " << share << " holds more than that of " << id;
      }
      for (const SequenceId other : left) {
        const Job& job = jobs_.at(other);
        if (other > id) ++reached_.older_victims;
        if (other == oldest || job.share != victim.share) continue;
        ASSERT_LT(std::pair(job.priority, other), std::pair(victim.priority, id));
      }
    }
  }

  // Streams go on in each step unless they lose their pages.
  void check_streams(const StepPlan& plan, const std::vector<SequenceId>& streams) {
    for (const SequenceId id : streams) {
      const bool goes_on = std::any_of(plan.sequences.begin(), plan.sequences.end(),
                                       [&](const PlannedSequence& p) { return p.id == id; });
      const bool preempted =
          std::find(plan.preempted.begin(), plan.preempted.end(), id) != plan.preempted.end();
      ASSERT_TRUE(goes_on || preempted) << "stream " << id << " is left out";
    }
  }

  // Drafts stand behind streams only, never beside prompts, never at the cost of a sequence.
  void check_drafts(const StepPlan& plan, const std::vector<Speculation>& wanted) {
    int32_t n_drafted = 0;
    for (const PlannedSequence& planned : plan.sequences) {
      if (planned.n_drafted == 0) continue;
      n_drafted += planned.n_drafted;
      ASSERT_TRUE(scheduler_.generates(planned.id));
      ASSERT_EQ(planned.n_tokens, 1 + planned.n_drafted);
      ASSERT_LE(planned.n_drafted, static_cast<int32_t>(drafts_.at(planned.id).size()));
    }
    ASSERT_EQ(n_drafted, plan.n_drafted);
    if (static_cast<size_t>(plan.n_decodes) < plan.sequences.size()) {
      ASSERT_EQ(n_drafted, 0);
    }
    int32_t n_wanted = 0;
    for (const Speculation& one : wanted) n_wanted += one.n_tokens;
    reached_.drafted += n_drafted;
    reached_.drafts_cut += n_drafted > 0 && n_drafted < n_wanted ? 1 : 0;
  }

  // Prompts keep the time that streams leave, but never stand still.
  void check_gap(const StepPlan& plan) {
    const Budget& budget = scheduler_.budget();
    double prompts_ns = 0;
    int64_t n_prompt_tokens = 0;
    for (size_t i = 0; i < plan.sequences.size(); ++i) {
      const PlannedSequence& planned = plan.sequences[i];
      if (i < static_cast<size_t>(plan.n_decodes)) {
        ASSERT_EQ(planned.n_tokens, 1 + planned.n_drafted);
        continue;
      }
      prompts_ns += costs_.prompt_ns(planned.n_tokens, planned.first_position);
      n_prompt_tokens += planned.n_tokens;
    }
    if (plan.n_decodes == 0) return;
    if (n_prompt_tokens <= 8 || costs_.prompt_token_ns == 0) return;
    const double left = costs_.prompt_budget_ns(plan.n_decodes, budget.max_gap_ns);
    ASSERT_LE(prompts_ns, std::max(left, costs_.prompt_ns(8, 64)) * (1 + 1e-9));
    reached_.chunks_cut += plan.n_tokens < budget.max_step_tokens ? 1 : 0;
  }

  std::mt19937 random_;
  Reached& reached_;
  Scheduler scheduler_;
  StepCosts costs_;
  std::map<SequenceId, Job> jobs_;
  std::map<SequenceId, std::vector<TokenId>> drafts_;  // for the step
  std::vector<std::vector<uint64_t>> memory_;          // per page and position
  SequenceId next_id_ = 1;
  int64_t n_accepted_ = 0;
  int64_t n_ended_ = 0;
};

TEST(SchedulerSimulation, EveryAcceptedSequenceEndsExactlyOnce) {
  Reached reached;
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Simulation simulation(seed, reached);
    simulation.run();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
  EXPECT_GT(reached.preemptions, 1000);
  EXPECT_GT(reached.older_victims, 1000);
  EXPECT_GT(reached.cached_tokens, 10000);
  EXPECT_GT(reached.copies, 1000);
  EXPECT_GT(reached.forks, 1000);
  EXPECT_GT(reached.orphans, 100);
  EXPECT_GT(reached.evictions, 1000);
  EXPECT_GT(reached.chunks_cut, 1000);
  EXPECT_GT(reached.spoilt, 100);
  EXPECT_GT(reached.drafted, 10000);
  EXPECT_GT(reached.confirmed, 1000);
  EXPECT_GT(reached.rejected, 1000);
  EXPECT_GT(reached.drafts_cut, 1000);
  EXPECT_GT(reached.restarts, 1000);
}

}  // namespace
}  // namespace quern::engine
