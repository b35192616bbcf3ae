// The thread pool: every item once, workers told apart, idle threads asleep.
#include "config/base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace quern {
namespace {

TEST(ThreadPool, EachItemOnce) {
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.n_threads(), threads);
    for (const int64_t n : {0, 1, 7, 100, 1000}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> hits(static_cast<size_t>(n));
        pool.parallel_for(n, grain, [&](int64_t begin, int64_t end, int worker) {
          EXPECT_TRUE(worker >= 0 && worker < threads);
          EXPECT_LT(begin, end);
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        for (const auto& hit : hits) EXPECT_EQ(hit.load(), 1);
      }
    }
  }
}

TEST(ThreadPool, WorkersHaveRangesOfWholePieces) {
  ThreadPool pool(3);
  std::vector<std::atomic<int64_t>> ends(3);
  const auto note_ends = [&](int64_t, int64_t, int) {
    for (int w = 0; w < 3; ++w) ends[static_cast<size_t>(w)] = pool.range_end(w);
  };
  pool.parallel_for(30, 10, note_ends);
  EXPECT_EQ(ends[0], 10);
  EXPECT_EQ(ends[1], 20);
  EXPECT_EQ(ends[2], 30);
  pool.parallel_for(65, 10, note_ends);  // 7 pieces
  EXPECT_EQ(ends[0], 20);
  EXPECT_EQ(ends[1], 40);
  EXPECT_EQ(ends[2], 65);
  pool.parallel_for(11, 10, note_ends);  // fewer pieces than workers
  EXPECT_EQ(ends[2], 11);
  pool.parallel_for(5, 10, note_ends);  // the caller alone
  EXPECT_EQ(ends[0], 5);
}

TEST(ThreadPool, EachStartedThreadCallsStart) {
  std::vector<std::atomic<int>> started(4);
  {
    ThreadPool pool(4, [&](int worker) { ++started[static_cast<size_t>(worker)]; });
  }
  EXPECT_EQ(started[0], 0);
  for (size_t worker = 1; worker < 4; ++worker) EXPECT_EQ(started[worker], 1);
}

TEST(ThreadPool, WorkersDoNotShareANumberAtOneTime) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(4);
  for (int round = 0; round < 200; ++round) {
    pool.parallel_for(16, 1, [&](int64_t, int64_t, int worker) {
      EXPECT_EQ(busy[static_cast<size_t>(worker)].fetch_add(1), 0);
      busy[static_cast<size_t>(worker)].fetch_sub(1);
    });
  }
}

// Plain variables written in one job are seen in the next; run under the thread sanitizer.
TEST(ThreadPool, JobsAreOrdered) {
  ThreadPool pool(3);
  std::vector<int64_t> values(300, 0);
  for (int round = 0; round < 2000; ++round) {
    pool.parallel_for(300, 10, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(299 - i)] += i;
    });
  }
  for (int64_t i = 0; i < 300; ++i) EXPECT_EQ(values[static_cast<size_t>(299 - i)], 2000 * i);
}

TEST(ThreadPool, ManyPoolsComeAndGo) {
  for (int i = 0; i < 100; ++i) {
    ThreadPool pool(3);
    if (i % 2 == 0) pool.parallel_for(10, 1, [](int64_t, int64_t, int) {});
  }
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST(ThreadPool, IdleThreadsSleep) {
  ThreadPool pool(4);
  pool.parallel_for(100, 1, [](int64_t, int64_t, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(cpu_seconds() - before, 0.02);
}

}  // namespace
}  // namespace quern
