// Memory that runs out at every single allocation of the engine in turn: whatever fails, each
// request ends exactly once, no page is lost, and those who come later are served.
#include <gtest/gtest.h>

#include "engine/run/engine_loop.h"
#include "tests/engine/fakes/fake_runner.h"
#include "tests/engine/vocabulary/letter_vocabulary.h"
#include "tests/support/exhaustion/failing_new.h"

namespace quern::engine {
namespace {

using std::chrono::milliseconds;

constexpr int32_t kPages = 14;
constexpr int32_t kPageTokens = 8;
constexpr int64_t kContext = 90;

Budget tight() {
  return {.max_running = 3,
          .max_step_tokens = 24,
          .max_step_outputs = 12,
          .n_pages = kPages,
          .page_tokens = kPageTokens};
}

Request request(uint64_t seed) {
  Request r;
  r.prompt.assign(12 + seed % 3 * 5, kFirstByte + static_cast<TokenId>(seed % 2));
  r.prompt.front() = kBos;
  r.max_tokens = 25;
  r.share = seed % 2 == 0 ? "a" : "b";
  r.sampling.seed = seed;
  r.sampling.ignore_end_of_generation = true;
  r.prompt_logprobs = seed == 3;
  if (seed == 3) r.top_logprobs = 2;
  return r;
}

class ExhaustionTest : public testing::Test {
 protected:
  Submission submission(const Request& request) {
    streams_.push_back(std::make_shared<EventQueue>(size_t{1} << 20));
    return {std::make_unique<Sequence>(request, *tokenizer_, kContext,
                                       std::chrono::steady_clock::now()),
            streams_.back(),
            {}};
  }
  static int ends_of(EventQueue& events) {
    int n = 0;
    while (auto event = events.next(milliseconds(0))) {
      n += event->kind == Event::Kind::kText ? 0 : 1;
    }
    return n;
  }

  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_ = letter_tokenizer();
  std::vector<std::shared_ptr<EventQueue>> streams_;
};

// Requests that share prompts, a group, preemption and guesses; three allocations fail in a row.
TEST_F(ExhaustionTest, EachRequestEndsOnceWhateverCannotBeHad) {
  uint64_t preemptions = 0;
  uint64_t drafted = 0;
  int64_t first = 1;
  for (; first < 100000; first += 1 + first / 40) {
    SCOPED_TRACE("from allocation " + std::to_string(first));
    FakeRunner runner(letter_vocabulary_size(), kPages, kPageTokens);
    Speculator speculator({.lookup = true, .max_tokens = 4, .adaptive = false}, nullptr);
    EngineCore core(runner, tight(), letter_vocabulary_size(), {.speculator = &speculator});
    streams_.clear();
    std::vector<Submission> arriving;
    for (uint64_t seed = 0; seed < 5; ++seed) arriving.push_back(submission(request(seed)));
    Submission group = submission(request(8));
    for (uint64_t seed = 9; seed < 11; ++seed) {
      Request sibling = request(8);
      sibling.sampling.seed = seed;
      group.siblings.push_back(submission(sibling));
    }
    arriving.push_back(std::move(group));
    tests::fail_allocations(first, 3);
    for (Submission& one : arriving) {
      core.accept(std::move(one));
      core.step();
    }
    int steps = 0;
    for (; steps < 2000 && !core.idle(); ++steps) core.step();
    const int64_t n_failed = tests::grant_allocations();
    ASSERT_TRUE(core.idle());
    ASSERT_EQ(core.scheduler().check_integrity(), std::nullopt);
    ASSERT_EQ(core.scheduler().n_pages_used(), 0);
    for (const auto& events : streams_) ASSERT_EQ(ends_of(*events), 1);
    const CoreCounters& counters = core.counters();
    ASSERT_EQ(counters.finished + counters.failed + counters.cancelled, streams_.size());
    preemptions += counters.preemptions;
    drafted += counters.drafted_tokens;
    if (n_failed == 0) break;
  }
  EXPECT_GT(first, 1000);  // all of a life was gone through
  EXPECT_LT(first, 100000);
  EXPECT_GT(preemptions, 0U);
  EXPECT_GT(drafted, 0U);
}

// With its thread: what fails while figures are told to others must not end the process either.
TEST_F(ExhaustionTest, TheThreadGoesOn) {
  for (int64_t first = 1; first < 400; first += 1 + first / 40) {
    SCOPED_TRACE("from allocation " + std::to_string(first));
    auto runner = std::make_unique<FakeRunner>(letter_vocabulary_size(), kPages, kPageTokens);
    runner->before_run = [first](int64_t step, const ops::StepInputs&) {
      if (step == 3) tests::fail_allocations(first, 3);
      if (step == 20) tests::grant_allocations();
      return ok_status();
    };
    LoopOptions options;
    options.budget = tight();
    options.limits = {letter_vocabulary_size(), kContext};
    auto loop = EngineLoop::start(std::move(runner), *tokenizer_, options);
    ASSERT_TRUE(loop.ok());
    std::vector<std::unique_ptr<Stream>> streams;
    for (uint64_t seed = 0; seed < 5; ++seed) {
      auto stream = (*loop)->submit(request(seed));
      ASSERT_TRUE(stream.ok()) << stream.error().message();
      streams.push_back(std::move(*stream));
    }
    for (const auto& stream : streams) {
      int n_ends = 0;
      while (n_ends == 0) {
        const auto event = stream->next(milliseconds(20000));
        ASSERT_TRUE(event.has_value()) << "nothing came";
        n_ends += event->kind == Event::Kind::kText ? 0 : 1;
      }
    }
    (*loop)->drain(std::chrono::steady_clock::now() + std::chrono::seconds(20));
    const EngineStats stats = (*loop)->stats();
    EXPECT_EQ(stats.kv_pages_used, 0);
    EXPECT_EQ(stats.requests_finished + stats.requests_failed, 5U);
  }
}

}  // namespace
}  // namespace quern::engine
