// The plan of who is loaded: order, room, keep-alive, and a simulation of random requests.
#include "engine/manager/residency.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <list>
#include <memory>
#include <random>

namespace quern::engine {
namespace {

using namespace std::chrono_literals;
using Kind = Residency::Action::Kind;
using TimePoint = Residency::TimePoint;

constexpr auto kPatience = 2s;

class ResidencyTest : public testing::Test {
 protected:
  void make(std::vector<uint64_t> bytes, uint64_t budget, KeepAlive keep_alive = kForever) {
    plan_ = std::make_unique<Residency>(bytes, budget, keep_alive, kPatience);
  }
  // Does what is due, each at once; the models loaded (+) and unloaded (-), in order.
  std::string settle() {
    std::string log;
    for (;;) {
      const Residency::Action action = plan_->next(now_);
      EXPECT_EQ(plan_->check_integrity(), std::nullopt);
      look_again_ = action.look_again;
      if (action.kind == Kind::kNone) return log;
      log += (action.kind == Kind::kLoad ? "+" : "-") + std::to_string(action.index);
      if (action.kind == Kind::kLoad) {
        plan_->loaded(action.index, plan_->predicted(action.index), now_);
      } else {
        plan_->unloaded(action.index);
      }
    }
  }
  // Asks for a model; whoever cannot have it at once waits in the returned place.
  Residency::Waiting& ask(size_t index) {
    waiting_.emplace_back();
    if (plan_->try_use(index)) {
      waiting_.back().outcome = ok_status();
    } else {
      plan_->wait(index, waiting_.back(), now_);
    }
    return waiting_.back();
  }
  void release(size_t index) { plan_->release(index, now_, true); }

  std::unique_ptr<Residency> plan_;
  std::deque<Residency::Waiting> waiting_;
  TimePoint now_ = TimePoint() + 1h;
  TimePoint look_again_;
};

TEST_F(ResidencyTest, AModelIsLoadedOnceForAllWhoWait) {
  make({5}, 10);
  const auto& first = ask(0);
  const auto& second = ask(0);
  EXPECT_FALSE(first.outcome);
  EXPECT_EQ(settle(), "+0");
  EXPECT_TRUE(first.outcome->ok() && second.outcome->ok());
  EXPECT_EQ(plan_->slot(0).users, 2);
  release(0);
  release(0);
  now_ += 1000h;
  EXPECT_EQ(settle(), "");  // kept for ever
}

TEST_F(ResidencyTest, TheLeastRecentlyUsedMakesRoom) {
  make({4, 4, 4}, 9);
  for (const size_t i : {0U, 1U}) {
    ask(i);
    settle();
    release(i);
    now_ += 1s;
  }
  EXPECT_TRUE(ask(0).outcome);  // used again, so 1 is the oldest now
  release(0);
  now_ += 1s;
  ask(2);
  EXPECT_EQ(settle(), "-1+2");
}

TEST_F(ResidencyTest, NothingIsUnloadedWhenThatDoesNotSuffice) {
  make({2, 6, 8}, 10);
  ask(0);
  ask(1);
  settle();
  release(0);
  const auto& big = ask(2);
  EXPECT_EQ(settle(), "");  // without 1, which is in use, unloading 0 helps nobody
  EXPECT_FALSE(big.outcome);
  release(1);
  EXPECT_EQ(settle(), "-0-1+2");
}

TEST_F(ResidencyTest, ABusyModelIsClosedAfterAWhileAndNeverTakenAway) {
  make({6, 6}, 10);
  ask(0);
  settle();
  const auto& other = ask(1);
  EXPECT_EQ(settle(), "");
  EXPECT_EQ(look_again_, now_ + kPatience);
  EXPECT_TRUE(ask(0).outcome);  // still open
  now_ += kPatience;
  EXPECT_EQ(settle(), "");
  const auto& late = ask(0);  // closed: has to wait behind the other
  EXPECT_FALSE(late.outcome);
  release(0);
  EXPECT_EQ(settle(), "");  // one still runs
  release(0);
  EXPECT_EQ(settle(), "-0+1");
  EXPECT_TRUE(other.outcome->ok());
  // Its users are served before it has to go again.
  now_ += kPatience;
  EXPECT_EQ(settle(), "");
  EXPECT_FALSE(late.outcome);
  release(1);
  EXPECT_EQ(settle(), "-1+0");
  EXPECT_TRUE(late.outcome->ok());
}

TEST_F(ResidencyTest, AClosedModelOpensWhenNobodyWaitsForItsPlace) {
  make({6, 6}, 10);
  ask(0);
  settle();
  auto& other = ask(1);
  now_ += kPatience;
  settle();
  const auto& late = ask(0);
  plan_->leave(1, other);
  EXPECT_EQ(settle(), "");
  EXPECT_TRUE(late.outcome->ok());
  EXPECT_EQ(plan_->slot(0).users, 2);
}

TEST_F(ResidencyTest, KeepAlive) {
  make({1, 1}, 10, 5min);
  ask(0);
  settle();
  now_ += 1h;
  EXPECT_EQ(settle(), "");  // in use
  release(0);
  EXPECT_EQ(settle(), "");
  EXPECT_EQ(look_again_, now_ + 5min);
  now_ += 4min;
  ask(0);
  release(0);
  now_ += 4min;
  EXPECT_EQ(settle(), "");  // counted from the last use
  now_ += 1min;
  EXPECT_EQ(settle(), "-0");
  // A request's own.
  plan_->set_keep_alive(1, KeepAlive(0), now_);
  ask(1);
  EXPECT_EQ(settle(), "+1");
  release(1);
  EXPECT_EQ(settle(), "-1");
  // Forgotten with the unload.
  EXPECT_EQ(plan_->slot(1).keep_alive, KeepAlive(5min));
}

TEST_F(ResidencyTest, OneThatOnlyLooksDoesNotKeepAModel) {
  make({1}, 10, 5min);
  ask(0);
  settle();
  release(0);
  now_ += 4min;
  ASSERT_TRUE(plan_->try_hold(0));
  plan_->release(0, now_, false);
  now_ += 1min;
  EXPECT_EQ(settle(), "-0");
  EXPECT_FALSE(plan_->try_hold(0));
}

TEST_F(ResidencyTest, AFailedLoadEndsThoseWhoWaitedForIt) {
  make({1}, 10);
  const auto& first = ask(0);
  ASSERT_EQ(plan_->next(now_).kind, Kind::kLoad);
  const auto& second = ask(0);  // while it is being loaded
  plan_->load_failed(0, Error(ErrorKind::kIo, "gone"));
  EXPECT_EQ(first.outcome->error().message(), "gone");
  EXPECT_EQ(second.outcome->error().message(), "gone");
  EXPECT_EQ(settle(), "");  // nobody asks any more
  ask(0);
  EXPECT_EQ(settle(), "+0");
}

TEST_F(ResidencyTest, ABrokenModelIsLoadedAnew) {
  make({1}, 10);
  ask(0);
  settle();
  plan_->mark_broken(0);
  const auto& next = ask(0);
  EXPECT_EQ(settle(), "");  // the first still runs
  release(0);
  EXPECT_EQ(settle(), "-0+0");
  EXPECT_TRUE(next.outcome->ok());
}

// Random requests on random models: each gets the model or leaves, none waits for ever, and nothing
// breaks the budget (check_integrity).
TEST(ResidencySimulation, EverybodyIsServed) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto draw = [&](uint32_t n) { return random() % n; };
    const size_t n_models = 1 + draw(5);
    std::vector<uint64_t> bytes;
    for (size_t i = 0; i < n_models; ++i) bytes.push_back(1 + draw(8));
    const uint64_t budget = 8 + draw(8);
    const KeepAlive keep = draw(2) == 0 ? kForever : KeepAlive(std::chrono::seconds(draw(20)));
    Residency plan(bytes, budget, keep, kPatience);
    TimePoint now = TimePoint() + 1h;
    struct Job {
      size_t model = 0;
      Residency::Waiting waiting;
      TimePoint asked;
      TimePoint ends = TimePoint::max();
    };
    std::list<Job> jobs;
    std::optional<std::pair<Residency::Action, TimePoint>> busy;  // and when it is done
    size_t served = 0;
    for (int step = 0; step < 400; ++step) {
      now += std::chrono::milliseconds(draw(500));
      if (step < 300 && draw(2) == 0) {
        Job& job = jobs.emplace_back();
        job.model = draw(static_cast<uint32_t>(n_models));
        job.asked = now;
        if (plan.try_use(job.model)) {
          job.waiting.outcome = ok_status();
        } else {
          plan.wait(job.model, job.waiting, now);
        }
      }
      if (busy && now >= busy->second) {
        const size_t i = busy->first.index;
        if (busy->first.kind == Kind::kUnload) {
          plan.unloaded(i);
        } else if (draw(8) == 0) {
          plan.load_failed(i, Error(ErrorKind::kIo, "x"));
        } else {
          plan.loaded(i, bytes[i], now);
        }
        busy.reset();
      }
      if (!busy) {
        const Residency::Action action = plan.next(now);
        if (action.kind != Kind::kNone) {
          ASSERT_TRUE(action.kind == Kind::kLoad || plan.slot(action.index).users == 0);
          busy = {action, now + std::chrono::milliseconds(draw(800))};
        }
      }
      for (auto job = jobs.begin(); job != jobs.end();) {
        const auto next = std::next(job);
        if (!job->waiting.outcome) {
          // With at most 3 s of work per request, 5 models and 2 s of patience.
          ASSERT_LT(now - job->asked, 5min);
          if (step < 300 && draw(200) == 0) {
            plan.leave(job->model, job->waiting);
            jobs.erase(job);
          }
        } else if (!job->waiting.outcome->ok()) {
          jobs.erase(job);
        } else if (job->ends == TimePoint::max()) {
          job->ends = now + std::chrono::milliseconds(draw(3000));
        } else if (now >= job->ends) {
          plan.release(job->model, now, true);
          jobs.erase(job);
          ++served;
        }
        job = next;
      }
      ASSERT_EQ(plan.check_integrity(), std::nullopt);
    }
    EXPECT_GT(served, 0U);
  }
}

}  // namespace
}  // namespace quern::engine
