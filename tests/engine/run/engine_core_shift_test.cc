// Samplers that remember and contexts that shift, on the hash model: the same answers in any
// company, and after a shift those of a fresh request.
#include <gtest/gtest.h>

#include "engine/sample/philox.h"
#include "tests/engine/fakes/core_fixture.h"

namespace quern::engine {
namespace {

class EngineCoreShiftTest : public EngineCoreTest {
 protected:
  // With samplers that remember, and contexts that shift.
  static Request lasting_request(uint32_t seed) {
    Request r = request(seed);
    r.sampling.temperature = 1.0F;
    r.sampling.ignore_end_of_generation = true;
    r.sampling.mirostat = static_cast<int32_t>(seed % 3);
    r.sampling.mirostat_tau = 3.0F;
    r.sampling.xtc_probability = seed % 2 == 0 ? 0.5F : 0.0F;
    r.sampling.xtc_threshold = 0.01F;
    r.sampling.dry_multiplier = seed % 4 < 2 ? 0.8F : 0.0F;
    r.sampling.dry_allowed_length = 1;
    r.prompt_logprobs = seed % 5 == 0;
    if (seed % 6 != 5) r.shift_keep = static_cast<int64_t>(seed % 8);
    r.max_tokens = 150 + static_cast<int64_t>(seed) * 7;
    return r;
  }
};

TEST_F(EngineCoreShiftTest, SamplersThatRememberAndShiftsAreTheSameInAnyCompany) {
  constexpr uint32_t kRequests = 16;
  std::vector<Answer> expected;
  for (uint32_t seed = 0; seed < kRequests; ++seed) {
    start({});
    expected.push_back(ask(lasting_request(seed)));
    EXPECT_EQ(expected[seed].end.usage.shifts > 0, seed % 6 != 5) << seed;
  }
  EXPECT_NE(expected[0].tokens, expected[6].tokens);
  const Shape setups[] = {{8, 8, 0, 200}, {3, 7, 1, 200}, {8, 16, 2, 30, 4}, {16, 24, 2, 30}};
  uint64_t preemptions = 0;
  for (const Shape& setup : setups) {
    start(setup);
    std::vector<std::shared_ptr<EventQueue>> streams;
    for (uint32_t seed = 0; seed < kRequests; ++seed) {
      streams.push_back(submit(lasting_request(seed)));
      if (seed % 3 == 0) core_->step();
    }
    run_all();
    preemptions += core_->counters().preemptions;
    for (uint32_t seed = 0; seed < kRequests; ++seed) {
      const Answer answer = collect(*streams[seed]);
      EXPECT_EQ(answer.tokens, expected[seed].tokens) << seed;
      EXPECT_EQ(answer.n_ends, 1) << seed;
      EXPECT_EQ(answer.prompt_logprobs.size(), expected[seed].prompt_logprobs.size()) << seed;
      const Usage& usage = answer.end.usage;
      EXPECT_EQ(usage.completion_tokens, expected[seed].end.usage.completion_tokens) << seed;
      EXPECT_EQ(usage.prompt_tokens, std::ssize(lasting_request(seed).prompt)) << seed;
      EXPECT_EQ(usage.shifted_tokens, expected[seed].end.usage.shifted_tokens) << seed;
    }
  }
  EXPECT_GT(preemptions, 5U);
}

// What follows a shift is what a fresh request on the tokens that are left would say.
TEST_F(EngineCoreShiftTest, AShiftedAnswerIsThatOfAFreshRequest) {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    Request whole = lasting_request(seed);
    whole.shift_keep = static_cast<int64_t>(seed % 8);
    start({});
    const Answer answer = ask(whole);
    ASSERT_GT(answer.end.usage.shifts, 0);

    std::vector<TokenId> left = whole.prompt;
    const auto n_first = static_cast<std::ptrdiff_t>(kContext - std::ssize(left));
    left.insert(left.end(), answer.tokens.begin(), answer.tokens.begin() + n_first);
    ASSERT_EQ(std::ssize(left), kContext);
    const auto keep = static_cast<std::ptrdiff_t>(*whole.shift_keep);
    left.erase(left.begin() + keep, left.begin() + keep + (kContext - keep) / 2);
    Request fresh = whole;
    fresh.prompt = left;
    fresh.prompt_logprobs = false;
    fresh.max_tokens = whole.max_tokens - n_first;
    fresh.sampling.seed = next_seed(whole.sampling.seed);
    start({});
    const Answer rest = ask(fresh);
    EXPECT_EQ(rest.tokens,
              std::vector<TokenId>(answer.tokens.begin() + n_first, answer.tokens.end()))
        << seed;
  }
}

// Answers of a group shift each for itself, also one whose prompt fills the context.
TEST_F(EngineCoreShiftTest, SiblingsShiftToo) {
  Request r = lasting_request(3);
  r.prompt.resize(static_cast<size_t>(kContext) - 1, kFirstByte + 7);
  r.sampling.mirostat = 0;
  r.max_tokens = 70;
  std::vector<Answer> expected;
  for (uint64_t i = 0; i < 4; ++i) {
    Request one = r;
    one.sampling.seed += i;
    start({});
    expected.push_back(ask(one));
    EXPECT_GT(expected.back().end.usage.shifts, 1);
  }
  for (const Shape& setup : {Shape{}, Shape{.max_running = 2}}) {
    start(setup);
    const auto streams = submit_group(r, 4);
    run_all();
    for (size_t i = 0; i < streams.size(); ++i) {
      EXPECT_EQ(collect(*streams[i]).tokens, expected[i].tokens) << i;
    }
  }
}

}  // namespace
}  // namespace quern::engine
