// The manager with its thread: who waits, who leaves, what fails, what stays.
#include "engine/manager/model_manager.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace quern::engine {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// What the test decides about one model, and what happened to it.
struct Script {
  std::atomic<bool> may_load{true};  // a load waits for this
  std::atomic<bool> fails{false};
  std::atomic<bool> usable{true};
  std::atomic<int> loading{0};
  std::atomic<int> loads{0};
  std::atomic<int> alive{0};
  std::atomic<int> drained{0};
};

class FakeResident final : public Resident {
 public:
  FakeResident(Script& script, uint64_t bytes) : script_(script), bytes_(bytes) {
    ++script_.loads;
    ++script_.alive;
  }
  ~FakeResident() override { --script_.alive; }
  FakeResident(const FakeResident&) = delete;
  FakeResident& operator=(const FakeResident&) = delete;
  uint64_t bytes() const override { return bytes_; }
  bool usable() const override { return script_.usable; }
  void drain(Clock::time_point) override { ++script_.drained; }

 private:
  Script& script_;
  uint64_t bytes_;
};

class ModelManagerTest : public testing::Test {
 protected:
  void start(const std::vector<uint64_t>& bytes, ManagerOptions options = {}) {
    scripts_ = std::vector<Script>(bytes.size());
    std::vector<ModelSource> sources;
    for (size_t i = 0; i < bytes.size(); ++i) {
      Script& script = scripts_[i];
      const auto load = [&script, size = bytes[i]]() -> Result<std::unique_ptr<Resident>> {
        ++script.loading;
        while (!script.may_load) std::this_thread::sleep_for(1ms);
        if (script.fails) return Error(ErrorKind::kInvalidInput, "the file is broken");
        return std::unique_ptr<Resident>(std::make_unique<FakeResident>(script, size));
      };
      sources.push_back({"m" + std::to_string(i), bytes[i], load});
    }
    options.now = [this] { return Clock::time_point() + 1h + now_.load(); };
    manager_ = std::make_unique<ModelManager>(std::move(sources), std::move(options));
  }
  void pass(std::chrono::seconds time) {
    now_ = now_.load() + time;
    manager_->look_again();
  }
  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) std::this_thread::sleep_for(1ms);
    return condition();
  }

  std::vector<Script> scripts_;
  std::atomic<std::chrono::seconds> now_{0s};
  std::unique_ptr<ModelManager> manager_;  // last: its thread ends first
};

TEST_F(ModelManagerTest, ManyAskAndOneLoads) {
  start({1});
  scripts_[0].may_load = false;
  std::atomic<int> have{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      auto lease = manager_->acquire(0, {});
      have += lease.ok() && *lease ? 1 : 0;
    });
  }
  EXPECT_TRUE(eventually([&] { return manager_->state(0).waiting == 8; }));
  EXPECT_EQ(have, 0);
  scripts_[0].may_load = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(have, 8);
  EXPECT_EQ(scripts_[0].loads, 1);
  EXPECT_TRUE(manager_->state(0).loaded);
  EXPECT_FALSE(manager_->state(0).in_use);
}

TEST_F(ModelManagerTest, AFailedLoadIsTheErrorOfThoseWhoAskedAndOfNobodyElse) {
  start({1, 1});
  scripts_[0].fails = true;
  for (int i = 0; i < 2; ++i) {
    const auto lease = manager_->acquire(0, {});
    ASSERT_FALSE(lease.ok());
    EXPECT_EQ(lease.error().message(), "the file is broken");
  }
  EXPECT_EQ(manager_->state(0).load_failures, 2U);
  EXPECT_TRUE(manager_->acquire(1, {}).ok());
  scripts_[0].fails = false;  // repaired
  EXPECT_TRUE(manager_->acquire(0, {}).ok());
}

TEST_F(ModelManagerTest, WhoeverLeavesOrIsTooLateWaitsNoLonger) {
  start({1});
  scripts_[0].may_load = false;
  std::atomic<bool> gone{false};
  std::thread leaver([&] {
    const auto lease = manager_->acquire(0, {.gone = [&] { return gone.load(); }});
    EXPECT_EQ(lease.error().kind(), ErrorKind::kCancelled);
  });
  EXPECT_TRUE(eventually([&] { return manager_->state(0).waiting == 1; }));
  const auto late = manager_->acquire(0, {.deadline = Clock::now() + 20ms});
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().kind(), ErrorKind::kBusy);
  gone = true;
  leaver.join();
  EXPECT_EQ(manager_->state(0).waiting, 0);
  scripts_[0].may_load = true;
  EXPECT_TRUE(manager_->acquire(0, {}).ok());
}

TEST_F(ModelManagerTest, ALoadThatNobodyWaitsForAnyMoreIsNotBegun) {
  start({1, 1});
  scripts_[0].may_load = false;
  std::thread first([&] { EXPECT_TRUE(manager_->acquire(0, {}).ok()); });
  EXPECT_TRUE(eventually([&] { return scripts_[0].loading == 1; }));
  EXPECT_FALSE(manager_->acquire(1, {.deadline = Clock::now() + 10ms}).ok());
  scripts_[0].may_load = true;
  first.join();
  EXPECT_TRUE(manager_->acquire(0, {}).ok());
  EXPECT_EQ(scripts_[1].loading, 0);
}

TEST_F(ModelManagerTest, RoomIsMadeByAgeButNotFromThoseInUse) {
  start({4, 4, 4}, {.budget_bytes = 9});
  { const auto lease = manager_->acquire(0, {}); }
  pass(1s);
  auto kept = manager_->acquire(1, {});
  ASSERT_TRUE(kept.ok());
  ASSERT_TRUE(manager_->acquire(2, {}).ok());
  EXPECT_EQ(scripts_[0].alive, 0);
  EXPECT_EQ(scripts_[1].alive, 1);
  EXPECT_EQ(manager_->used_bytes(), 8U);
  ASSERT_TRUE(manager_->acquire(0, {}).ok());  // 2 goes, though 1 is older: it is in use
  EXPECT_EQ(scripts_[1].alive, 1);
  EXPECT_EQ(scripts_[2].alive, 0);
}

TEST_F(ModelManagerTest, OneThatCanNeverFitIsRefusedWithBothFigures) {
  start({4, 40}, {.budget_bytes = 10});
  const auto lease = manager_->acquire(1, {});
  ASSERT_FALSE(lease.ok());
  EXPECT_EQ(lease.error().kind(), ErrorKind::kOutOfMemory);
  EXPECT_NE(lease.error().message().find("40"), std::string::npos);
  EXPECT_NE(lease.error().message().find("10"), std::string::npos);
  EXPECT_EQ(scripts_[1].loading, 0);
}

TEST_F(ModelManagerTest, KeepAliveEndsAndUnloadComesWithTheLastUser) {
  start({1}, {.keep_alive = 300s});
  { const auto lease = manager_->acquire(0, {}); }
  EXPECT_EQ(manager_->state(0).expires_in, KeepAlive(300s));
  pass(299s);
  EXPECT_EQ(manager_->state(0).expires_in, KeepAlive(1s));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(scripts_[0].alive, 1);
  pass(1s);
  EXPECT_TRUE(eventually([&] { return !manager_->state(0).loaded && scripts_[0].alive == 0; }));
  EXPECT_TRUE(eventually([&] { return manager_->state(0).unloads == 1; }));

  auto lease = manager_->acquire(0, {.keep_alive = kForever});
  pass(1000s);
  manager_->unload(0);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(scripts_[0].alive, 1);  // in use
  *lease = ModelManager::Lease();
  EXPECT_TRUE(eventually([&] { return scripts_[0].alive == 0; }));
}

TEST_F(ModelManagerTest, ABrokenOneIsLoadedAnew) {
  start({1});
  { const auto lease = manager_->acquire(0, {}); }
  scripts_[0].usable = false;
  scripts_[0].may_load = false;  // so that the old one is seen to be gone before the new one comes
  std::thread user([&] { EXPECT_TRUE(manager_->acquire(0, {}).ok()); });
  EXPECT_TRUE(eventually([&] { return scripts_[0].alive == 0; }));
  scripts_[0].usable = true;
  scripts_[0].may_load = true;
  user.join();
  EXPECT_EQ(scripts_[0].loads, 2);
}

TEST_F(ModelManagerTest, TooManyWhoWaitAreTurnedAway) {
  start({1}, {.max_waiting = 1});
  scripts_[0].may_load = false;
  std::thread first([&] { EXPECT_TRUE(manager_->acquire(0, {}).ok()); });
  EXPECT_TRUE(eventually([&] { return manager_->state(0).waiting == 1; }));
  const auto second = manager_->acquire(0, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::kBusy);
  scripts_[0].may_load = true;
  first.join();
}

TEST_F(ModelManagerTest, WhoWaitsForLoadsCountsAgainstHisShare) {
  start({1, 1}, {.max_waiting_per_share = 2});
  for (Script& script : scripts_) script.may_load = false;
  std::atomic<bool> gone{false};
  std::vector<std::thread> waiting;
  for (const size_t index : {0U, 1U}) {  // for any model
    waiting.emplace_back([&, index] {
      const auto lease =
          manager_->acquire(index, {.gone = [&] { return gone.load(); }, .share = "a"});
      EXPECT_EQ(lease.error().kind(), ErrorKind::kCancelled);
    });
    EXPECT_TRUE(eventually([&] { return manager_->state(index).waiting == 1; }));
  }
  EXPECT_TRUE(manager_->share_is_full("a"));
  EXPECT_FALSE(manager_->share_is_full("b"));
  const auto third = manager_->acquire(0, {.share = "a"});
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().kind(), ErrorKind::kBusy);
  EXPECT_NE(third.error().message().find("this API key has 2 requests"), std::string::npos);
  waiting.emplace_back([&] { EXPECT_TRUE(manager_->acquire(0, {.share = "b"}).ok()); });
  EXPECT_TRUE(eventually([&] { return manager_->state(0).waiting == 2; }));
  gone = true;  // those of "a" leave, both of them before anything is loaded
  EXPECT_TRUE(eventually(
      [&] { return manager_->state(0).waiting == 1 && manager_->state(1).waiting == 0; }));
  EXPECT_FALSE(manager_->share_is_full("a"));
  for (Script& script : scripts_) script.may_load = true;
  for (std::thread& one : waiting) one.join();
  // Who need not wait is not counted.
  auto first = manager_->acquire(0, {.share = "a"});
  auto second = manager_->acquire(0, {.share = "a"});
  EXPECT_TRUE(manager_->acquire(0, {.share = "a"}).ok());
}

// A look at the client that fails, as when memory runs out, leaves nothing behind that a load would
// write to later.
TEST_F(ModelManagerTest, WhoeverIsThrownOutWaitsNoLonger) {
  start({1}, {.max_waiting_per_share = 1});
  scripts_[0].may_load = false;
  const ModelManager::Ask ask{.gone = []() -> bool { throw std::bad_alloc(); }, .share = "a"};
  EXPECT_THROW(static_cast<void>(manager_->acquire(0, ask)), std::bad_alloc);
  EXPECT_EQ(manager_->state(0).waiting, 0);
  EXPECT_FALSE(manager_->share_is_full("a"));
  scripts_[0].may_load = true;
  EXPECT_TRUE(manager_->acquire(0, {.share = "a"}).ok());
}

TEST_F(ModelManagerTest, DrainEndsTheWaitingAndDrainsTheLoaded) {
  start({1, 1});
  { const auto lease = manager_->acquire(0, {}); }
  scripts_[1].may_load = false;
  std::thread waiting([&] {
    const auto lease = manager_->acquire(1, {});
    EXPECT_EQ(lease.error().kind(), ErrorKind::kBusy);
  });
  EXPECT_TRUE(eventually([&] { return manager_->state(1).waiting == 1; }));
  manager_->drain(Clock::now());
  waiting.join();
  EXPECT_EQ(scripts_[0].drained, 1);
  EXPECT_EQ(manager_->acquire(0, {}).error().kind(), ErrorKind::kBusy);
  scripts_[1].may_load = true;
}

TEST_F(ModelManagerTest, MemoryRunningOutIsTheLoadsError) {
  ManagerOptions options;
  std::vector<ModelSource> sources = {
      {"m", 1, []() -> Result<std::unique_ptr<Resident>> { throw std::bad_alloc(); }}};
  ModelManager manager(std::move(sources), options);
  EXPECT_EQ(manager.acquire(0, {}).error().kind(), ErrorKind::kOutOfMemory);
}

// Everything at once, for the thread sanitizer.
TEST_F(ModelManagerTest, ManyClientsOnFewPlaces) {
  start({4, 4, 4, 4}, {.budget_bytes = 9, .patience = 1ms});
  std::vector<std::thread> clients;
  std::atomic<int> wrong{0};
  for (uint32_t client = 0; client < 8; ++client) {
    clients.emplace_back([&, client] {
      for (uint32_t i = 0; i < 25; ++i) {
        const size_t index = (client * 7 + i * 3) % 4;
        const auto lease = manager_->acquire(index, {.gone = [i] { return i % 9 == 8; }});
        wrong += !lease.ok() && lease.error().kind() != ErrorKind::kCancelled ? 1 : 0;
        if (lease.ok()) wrong += scripts_[index].alive != 1 ? 1 : 0;
        if (i % 5 == 0) manager_->unload(index);
        const auto look = manager_->peek((index + 1) % 4);
        if (i % 3 == 0) now_ = now_.load() + 1s;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(manager_->used_bytes(), 9U);
}

}  // namespace
}  // namespace quern::engine
