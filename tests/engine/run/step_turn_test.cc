// Engines take turns: one at a time, in the order in which they asked.
#include "engine/run/step_turn.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace quern::engine {
namespace {

TEST(StepTurn, OneAtATimeAndNobodyTwiceBeforeAnother) {
  StepTurn turn;
  std::atomic<int> inside{0};
  std::atomic<bool> started{false};
  std::vector<int> order;  // guarded by the turn itself
  std::vector<std::thread> engines;
  for (int engine = 0; engine < 3; ++engine) {
    engines.emplace_back([&, engine] {
      while (!started) std::this_thread::yield();
      for (int step = 0; step < 200; ++step) {
        const StepTurn::Held held(&turn);
        EXPECT_EQ(++inside, 1);
        order.push_back(engine);
        // Long enough for the others to ask meanwhile.
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        --inside;
      }
    });
  }
  started = true;
  for (std::thread& engine : engines) engine.join();
  ASSERT_EQ(order.size(), 600U);
  // Whoever has just had it comes after those who wait. A thread that is held up by the system may
  // not have asked in time; that is the exception.
  int repeats = 0;
  for (size_t i = 1; i < order.size(); ++i) repeats += order[i] == order[i - 1] ? 1 : 0;
  EXPECT_LT(repeats, 300);
}

TEST(StepTurn, WithoutOneNobodyWaits) {
  const StepTurn::Held one(nullptr);
  const StepTurn::Held two(nullptr);
}

}  // namespace
}  // namespace quern::engine
