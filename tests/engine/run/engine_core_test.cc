// The engine without its thread, on the hash model: answers never depend on batch, chunks or
// preemption; failures end exactly the sequences they concern.
#include <gtest/gtest.h>

#include <limits>
#include <new>
#include <thread>

#include "tests/engine/fakes/core_fixture.h"

namespace quern::engine {
namespace {

TEST_F(EngineCoreTest, GreedyFollowsTheModel) {
  start({});
  Request r;
  r.prompt = {kBos};
  r.max_tokens = 10;
  r.sampling.temperature = 0;
  r.sampling.ignore_end_of_generation = true;
  const auto events = submit(r);
  run_all();
  std::vector<TokenId> expected = {kBos};
  for (int i = 0; i < 10; ++i) {
    const auto logits = FakeRunner::logits_after(expected, letter_vocabulary_size());
    expected.push_back(
        static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
  }
  const Answer answer = collect(*events);
  EXPECT_EQ(answer.tokens, std::vector<TokenId>(expected.begin() + 1, expected.end()));
  EXPECT_EQ(answer.n_ends, 1);
  EXPECT_EQ(answer.end.reason, FinishReason::kLength);
  EXPECT_EQ(answer.end.usage.prompt_tokens, 1);
  EXPECT_EQ(answer.end.usage.completion_tokens, 10);
}

TEST_F(EngineCoreTest, AnswersAreTheSameInAnyCompany) {
  constexpr uint32_t kRequests = 24;
  std::vector<Answer> expected;
  for (uint32_t seed = 0; seed < kRequests; ++seed) expected.push_back(alone(seed));
  const Shape setups[] = {{8, 8, 0, 200}, {8, 64, 16, 200}, {1, 1, 0, 200},
                          {3, 7, 1, 200}, {8, 16, 2, 15},   {24, 24, 2, 16}};
  uint64_t preemptions = 0;
  for (const Shape& setup : setups) {
    start(setup);
    std::vector<std::shared_ptr<EventQueue>> streams;
    for (uint32_t seed = 0; seed < kRequests; ++seed) {
      streams.push_back(submit(request(seed)));
      if (seed % 3 == 0) core_->step();
    }
    run_all();
    preemptions += core_->counters().preemptions;
    for (uint32_t seed = 0; seed < kRequests; ++seed) {
      const Answer answer = collect(*streams[seed]);
      EXPECT_EQ(answer.text, expected[seed].text) << seed;
      EXPECT_EQ(answer.tokens, expected[seed].tokens) << seed;
      EXPECT_EQ(answer.n_ends, 1) << seed;
      EXPECT_EQ(answer.end.reason, expected[seed].end.reason) << seed;
      EXPECT_EQ(answer.end.usage.completion_tokens, expected[seed].end.usage.completion_tokens);
      ASSERT_EQ(answer.prompt_logprobs.size(), expected[seed].prompt_logprobs.size());
      for (size_t i = 0; i < answer.prompt_logprobs.size(); ++i) {
        EXPECT_EQ(answer.prompt_logprobs[i].logprob, expected[seed].prompt_logprobs[i].logprob);
        EXPECT_EQ(answer.prompt_logprobs[i].token, request(seed).prompt[i + 1]);
      }
    }
  }
  EXPECT_GT(preemptions, 5U);
}

TEST_F(EngineCoreTest, NonFiniteLogitsEndThatSequenceOnly) {
  const Answer expected = alone(1);
  start({});
  runner_->after_row = [](std::span<const int32_t> tokens, std::span<float> row) {
    if (tokens[1] == kEos) row[7] = std::numeric_limits<float>::quiet_NaN();
  };
  Request poisoned = request(1);
  poisoned.prompt = {kBos, kEos, kBos};
  const auto good = submit(request(1));
  const auto bad = submit(poisoned);
  run_all();
  EXPECT_EQ(collect(*good).text, expected.text);
  const Answer failed = collect(*bad);
  EXPECT_EQ(failed.n_ends, 1);
  ASSERT_EQ(failed.end.kind, Event::Kind::kFailed);
  EXPECT_NE(failed.end.error->message().find("non-finite"), std::string::npos);
}

// Cold, hot, hot with all company, after everything was given up, and with reuse off.
TEST_F(EngineCoreTest, AnswersAreTheSameWithComputedPromptsAndWithout) {
  constexpr uint32_t kRequests = 16;
  start({.max_idle_pages = 0});
  std::vector<Answer> expected;
  for (uint32_t seed = 0; seed < kRequests; ++seed) {
    const auto events = submit(request(seed));
    run_all();
    expected.push_back(collect(*events));
    EXPECT_EQ(expected.back().end.usage.cached_tokens, 0);
  }
  EXPECT_EQ(core_->scheduler().n_pages_idle(), 0);
  const auto expect_same = [&](uint32_t seed, const Answer& answer) {
    EXPECT_EQ(answer.text, expected[seed].text) << seed;
    EXPECT_EQ(answer.tokens, expected[seed].tokens) << seed;
    ASSERT_EQ(answer.prompt_logprobs.size(), expected[seed].prompt_logprobs.size());
    for (size_t i = 0; i < answer.prompt_logprobs.size(); ++i) {
      EXPECT_EQ(answer.prompt_logprobs[i].logprob, expected[seed].prompt_logprobs[i].logprob);
    }
  };
  for (const Shape& setup : {Shape{}, Shape{.n_pages = 16}, Shape{.max_idle_pages = 3}}) {
    start(setup);
    int64_t cached = 0;
    for (int round = 0; round < 2; ++round) {
      for (uint32_t seed = 0; seed < kRequests; ++seed) {
        const auto events = submit(request(seed));
        run_all();
        const Answer answer = collect(*events);
        expect_same(seed, answer);
        cached += answer.end.usage.cached_tokens;
        EXPECT_LT(answer.end.usage.cached_tokens, answer.end.usage.prompt_tokens);
      }
    }
    std::vector<std::shared_ptr<EventQueue>> streams;
    for (uint32_t seed = 0; seed < kRequests; ++seed) streams.push_back(submit(request(seed)));
    run_all();
    for (uint32_t seed = 0; seed < kRequests; ++seed) expect_same(seed, collect(*streams[seed]));
    if (setup.n_pages == 200 && setup.max_idle_pages > 3) {
      EXPECT_GT(cached, 100);
    }
    if (setup.n_pages == 16) {
      EXPECT_GT(core_->scheduler().n_pages_evicted(), 10U);
    }
  }
}

TEST_F(EngineCoreTest, ARepeatedPromptIsFoundButForItsLastToken) {
  start({});
  Request r = request(1);
  r.prompt.assign(24, kFirstByte);
  r.max_tokens = 3;
  r.sampling.ignore_end_of_generation = true;
  const auto cold = submit(r);
  run_all();
  const auto hot = submit(r);
  run_all();
  const Answer first = collect(*cold);
  const Answer second = collect(*hot);
  EXPECT_EQ(first.end.usage.cached_tokens, 0);
  EXPECT_EQ(second.end.usage.cached_tokens, 23);
  EXPECT_EQ(second.end.usage.prompt_tokens, 24);
  EXPECT_EQ(first.tokens, second.tokens);
  EXPECT_EQ(core_->counters().prompt_tokens, 25U);
  EXPECT_EQ(core_->counters().cached_tokens, 23U);
  Request other = r;
  other.share = "another key";
  const auto foreign = submit(other);
  run_all();
  const Answer third = collect(*foreign);
  EXPECT_EQ(third.end.usage.cached_tokens, 0);
  EXPECT_EQ(third.tokens, first.tokens);
}

// More sets than are told apart at once: no number is used again for other adapters.
TEST_F(EngineCoreTest, APromptIsFoundByTheSameAdaptersOnly) {
  start({});
  std::vector<AdapterUse> wanted;
  runner_->before_run = [&](int64_t, const ops::StepInputs& inputs) {
    for (const ops::SequenceSlice& slice : inputs.sequences) {
      EXPECT_EQ(slice.adapters.size(), wanted.size());
      for (size_t i = 0; i < std::min(wanted.size(), slice.adapters.size()); ++i) {
        EXPECT_EQ(slice.adapters[i].adapter, wanted[i].adapter);
        EXPECT_EQ(slice.adapters[i].scale, wanted[i].scale);
      }
    }
    return ok_status();
  };
  const auto cached = [&](std::vector<AdapterUse> adapters) {
    wanted = adapters;
    Request r = request(1);
    r.prompt.assign(24, kFirstByte);
    r.max_tokens = 2;
    r.adapters = std::move(adapters);
    return ask(std::move(r)).end.usage.cached_tokens;
  };
  EXPECT_EQ(cached({}), 0);
  for (int i = 1; i <= 1100; ++i) {
    const float scale = static_cast<float>(i) / 64;
    EXPECT_EQ(cached({{0, scale}}), 0) << i;
    EXPECT_EQ(cached({{0, scale}}), 23) << i;
  }
  EXPECT_EQ(cached({{1, 1}}), 0);
  EXPECT_EQ(cached({{0, 1}, {1, 1}}), 0);
  EXPECT_EQ(cached({{0, 1}, {1, 1}}), 23);
}

TEST_F(EngineCoreTest, SiblingsShareTheComputationOfTheirPrompt) {
  for (const Shape& setup : {Shape{}, Shape{.max_running = 2, .n_pages = 20},
                             Shape{.max_running = 1}, Shape{.max_idle_pages = 0}}) {
    Request r = request(5);  // with log-probabilities of the prompt
    r.prompt.assign(21, kFirstByte + 3);
    r.max_tokens = 12;
    r.sampling.temperature = 1;
    r.sampling.ignore_end_of_generation = true;
    std::vector<Answer> expected;
    for (int i = 0; i < 4; ++i) {
      start({});
      Request one = r;
      one.sampling.seed += static_cast<uint64_t>(i);
      const auto events = submit(one);
      run_all();
      expected.push_back(collect(*events));
    }
    EXPECT_NE(expected[0].tokens, expected[1].tokens);
    start(setup);
    const auto streams = submit_group(r, 4);
    run_all();
    EXPECT_EQ(core_->counters().prompt_tokens, 21U);
    for (size_t i = 0; i < 4; ++i) {
      const Answer answer = collect(*streams[i]);
      EXPECT_EQ(answer.n_ends, 1);
      EXPECT_EQ(answer.tokens, expected[i].tokens) << i;
      EXPECT_EQ(answer.prompt_logprobs.size(), 20U);
      EXPECT_EQ(answer.end.usage.cached_tokens, i == 0 ? 0 : 21);
    }
  }
}

TEST_F(EngineCoreTest, SiblingsSurviveTheirLeader) {
  start({.max_step_tokens = 8});
  Request r = request(1);
  r.prompt.assign(40, kFirstByte + 3);
  r.max_tokens = 5;
  r.sampling.ignore_end_of_generation = true;
  const auto streams = submit_group(r, 3);
  core_->step();
  streams[0]->cancel();
  run_all();
  EXPECT_EQ(collect(*streams[0]).end.reason, FinishReason::kCancelled);
  for (const size_t i : {1, 2}) EXPECT_EQ(collect(*streams[i]).tokens.size(), 5U);
}

TEST_F(EngineCoreTest, SiblingsOfAPromptWithoutAnswerEndToo) {
  start({});
  Request r = request(5);
  r.max_tokens = 0;
  const auto scored = submit_group(r, 2);
  r.prompt_logprobs = false;
  const auto nothing = submit_group(r, 2);
  run_all();
  for (const auto& stream : scored) {
    const Answer answer = collect(*stream);
    EXPECT_EQ(answer.n_ends, 1);
    EXPECT_EQ(answer.prompt_logprobs.size(), r.prompt.size() - 1);
  }
  for (const auto& stream : nothing) EXPECT_EQ(collect(*stream).n_ends, 1);
}

TEST_F(EngineCoreTest, NothingOfASpoiltSequenceIsFound) {
  start({});
  runner_->after_row = [](std::span<const int32_t>, std::span<float> row) {
    row[7] = std::numeric_limits<float>::infinity();
  };
  Request r = request(1);
  r.prompt.assign(30, kFirstByte + 1);
  const auto bad = submit_group(r, 2);
  run_all();
  for (const auto& stream : bad) {
    const Answer answer = collect(*stream);
    EXPECT_EQ(answer.n_ends, 1);
    EXPECT_EQ(answer.end.kind, Event::Kind::kFailed);
  }
  EXPECT_EQ(core_->scheduler().n_pages_idle(), 0);
  runner_->after_row = nullptr;
  const auto good = submit(r);
  run_all();
  EXPECT_EQ(collect(*good).end.usage.cached_tokens, 0);
}

TEST_F(EngineCoreTest, DeadlinesEndRequestsWhereverTheyStand) {
  start({.max_running = 1, .max_step_tokens = 4});
  Request r = request(1);
  r.prompt.assign(10, kFirstByte);
  r.max_tokens = 50;
  r.sampling.ignore_end_of_generation = true;
  r.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
  const auto running = submit(r);
  const auto waiting = submit(r);
  Request patient = r;
  patient.deadline.reset();
  const auto other = submit(patient);
  core_->step();
  EXPECT_EQ(core_->scheduler().n_running(), 1);
  std::this_thread::sleep_until(*r.deadline);
  run_all();
  for (const auto& stream : {running, waiting}) {
    const Answer answer = collect(*stream);
    EXPECT_EQ(answer.n_ends, 1);
    ASSERT_EQ(answer.end.kind, Event::Kind::kFailed);
    EXPECT_EQ(answer.end.error->kind(), ErrorKind::kBusy);
  }
  EXPECT_EQ(collect(*other).end.kind, Event::Kind::kFinished);
}

// Not only once there is a place for them: who waits learns of it in time.
TEST_F(EngineCoreTest, DeadlinesEndWaitingRequestsWhileOthersRun) {
  start({.max_running = 1, .max_step_tokens = 4});
  Request r = request(1);
  r.prompt.assign(4, kFirstByte);
  r.max_tokens = 50;
  r.sampling.ignore_end_of_generation = true;
  const auto running = submit(r);
  core_->step();
  r.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
  const auto waiting = submit(r);
  std::this_thread::sleep_until(*r.deadline);
  core_->step();
  EXPECT_EQ(core_->scheduler().n_running(), 1);
  const Answer answer = collect(*waiting);
  EXPECT_EQ(answer.n_ends, 1);
  ASSERT_EQ(answer.end.kind, Event::Kind::kFailed);
  EXPECT_EQ(answer.end.error->kind(), ErrorKind::kBusy);
  EXPECT_EQ(collect(*running).n_ends, 0);
  running->cancel();
  run_all();
}

// Queued, held for a sibling, in the middle of a prompt, generating, and preempted.
TEST_F(EngineCoreTest, CancelWhileHeldOrPreempted) {
  start({.max_running = 2, .max_step_tokens = 8, .n_pages = 16});
  Request r = request(1);
  r.prompt.assign(40, kFirstByte + 2);
  r.max_tokens = 60;
  r.sampling.ignore_end_of_generation = true;
  const auto group = submit_group(r, 2);
  core_->step();
  group[1]->cancel();
  core_->step();
  EXPECT_EQ(collect(*group[1]).end.reason, FinishReason::kCancelled);
  Request second = r;
  second.prompt.assign(40, kFirstByte + 9);
  const auto victim = submit(second);
  for (int i = 0; i < 200 && core_->counters().preemptions == 0; ++i) core_->step();
  ASSERT_EQ(core_->counters().preemptions, 1U);
  victim->cancel();
  core_->step();
  EXPECT_EQ(collect(*victim).end.reason, FinishReason::kCancelled);
  EXPECT_EQ(core_->scheduler().n_waiting(), 0);
  group[0]->cancel();
  core_->step();
  EXPECT_TRUE(core_->idle());
  EXPECT_EQ(core_->scheduler().n_pages_used(), 0);
}

TEST_F(EngineCoreTest, FailedStepEndsItsSequencesAndNoOther) {
  start({.max_running = 2, .max_step_tokens = 4, .n_pages = 200});
  runner_->before_run = [](int64_t step, const ops::StepInputs&) -> Status {
    if (step == 3) return Error(ErrorKind::kInternal, "device lost");
    return ok_status();
  };
  std::vector<std::shared_ptr<EventQueue>> streams;
  for (uint32_t seed = 0; seed < 5; ++seed) {
    Request r = request(seed);
    r.max_tokens = 30;
    r.sampling.ignore_end_of_generation = true;
    streams.push_back(submit(r));
  }
  run_all();
  int failed = 0;
  for (const auto& stream : streams) {
    const Answer answer = collect(*stream);
    EXPECT_EQ(answer.n_ends, 1);
    failed += answer.end.kind == Event::Kind::kFailed;
  }
  EXPECT_GE(failed, 1);
  EXPECT_LE(failed, 2);
  EXPECT_EQ(core_->counters().failed, static_cast<uint64_t>(failed));
}

TEST_F(EngineCoreTest, MemoryRunningOutInAStepEndsItsSequences) {
  start({});
  runner_->before_run = [](int64_t step, const ops::StepInputs&) -> Status {
    if (step == 2) throw std::bad_alloc();
    return ok_status();
  };
  Request r = request(1);
  r.max_tokens = 30;
  const auto events = submit(r);
  run_all();
  const Answer answer = collect(*events);
  ASSERT_EQ(answer.end.kind, Event::Kind::kFailed);
  EXPECT_EQ(answer.end.error->kind(), ErrorKind::kOutOfMemory);
  const auto later = submit(request(2));
  run_all();
  EXPECT_EQ(collect(*later).end.kind, Event::Kind::kFinished);
}

TEST_F(EngineCoreTest, LostModelFailsEverythingAndSaysSo) {
  start({.max_running = 2, .max_step_tokens = 4, .n_pages = 200});
  std::vector<std::shared_ptr<EventQueue>> streams;
  for (uint32_t seed = 0; seed < 5; ++seed) streams.push_back(submit(request(seed)));
  core_->step();
  runner_->model_gone = true;
  core_->step();
  EXPECT_TRUE(core_->idle());
  ASSERT_TRUE(core_->broken().has_value());
  for (const auto& stream : streams) {
    const Answer answer = collect(*stream);
    EXPECT_EQ(answer.n_ends, 1);
    ASSERT_EQ(answer.end.kind, Event::Kind::kFailed);
    EXPECT_EQ(answer.end.error->kind(), ErrorKind::kIo);
  }
}

TEST_F(EngineCoreTest, CancelTakesOneStepWhereverTheRequestStands) {
  start({.max_running = 1, .max_step_tokens = 4, .n_pages = 200});
  Request r = request(1);
  r.prompt.assign(10, kFirstByte);
  r.max_tokens = 50;
  r.sampling.ignore_end_of_generation = true;
  const auto running = submit(r);
  const auto waiting = submit(r);
  for (int i = 0; i < 8; ++i) core_->step();
  waiting->cancel();
  core_->step();
  EXPECT_EQ(collect(*waiting).end.reason, FinishReason::kCancelled);
  running->cancel();
  core_->step();
  EXPECT_TRUE(core_->idle());
  EXPECT_EQ(core_->scheduler().n_pages_used(), 0);
  const Answer answer = collect(*running);
  EXPECT_EQ(answer.end.reason, FinishReason::kCancelled);
  EXPECT_EQ(answer.end.usage.completion_tokens, 7);  // 3 chunks of prompt, then one per step
  EXPECT_EQ(core_->counters().cancelled, 2U);
}

TEST_F(EngineCoreTest, SlowReaderIsFailedAndNobodyElse) {
  start({});
  Request r = request(1);
  r.max_tokens = 60;
  r.sampling.ignore_end_of_generation = true;
  const auto slow = submit(r, 100);
  const auto other = submit(r);
  run_all();
  const Answer failed = collect(*slow);
  EXPECT_EQ(failed.n_ends, 1);
  ASSERT_EQ(failed.end.kind, Event::Kind::kFailed);
  EXPECT_EQ(failed.end.error->kind(), ErrorKind::kCancelled);
  EXPECT_EQ(collect(*other).end.kind, Event::Kind::kFinished);
}

// So that a runner which is measured (MeteredRunner) counts no other model's time as its own.
TEST_F(EngineCoreTest, AStepIsNotRunBeforeItsTurn) {
  start({});
  StepTurn turn;
  core_ = std::make_unique<EngineCore>(*runner_, Budget{2, 16, 4, 200, kPageTokens},
                                       letter_vocabulary_size(), CoreParts{.turn = &turn});
  const auto events = submit(request(1));
  auto others_step = std::make_unique<StepTurn::Held>(&turn);
  std::thread engine([&] { core_->step(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(runner_->n_steps, 0);
  others_step.reset();
  engine.join();
  EXPECT_EQ(runner_->n_steps, 1);
  const StepTurn::Held free_again(&turn);
  events->cancel();
}

TEST_F(EngineCoreTest, NoTokensWanted) {
  start({});
  Request r = request(1);
  r.max_tokens = 0;
  const auto nothing = submit(r);
  r.prompt = {kBos, 5, 6, 7};
  r.prompt_logprobs = true;
  const auto prompt_only = submit(r);
  run_all();
  const Answer empty = collect(*nothing);
  EXPECT_EQ(empty.n_ends, 1);
  EXPECT_EQ(empty.end.reason, FinishReason::kLength);
  const Answer scored = collect(*prompt_only);
  EXPECT_EQ(scored.prompt_logprobs.size(), 3U);
  EXPECT_EQ(scored.end.usage.completion_tokens, 0);
  EXPECT_TRUE(scored.tokens.empty());
}

TEST_F(EngineCoreTest, ContextIsFilledToTheLastToken) {
  start({.n_pages = 15});  // exactly one context
  Request r = request(1);
  r.max_tokens = -1;
  r.sampling.ignore_end_of_generation = true;
  const auto n_prompt = static_cast<int64_t>(r.prompt.size());
  const auto events = submit(r);
  run_all();
  const Answer answer = collect(*events);
  EXPECT_EQ(answer.end.reason, FinishReason::kLength);
  EXPECT_EQ(answer.end.usage.completion_tokens, kContext - n_prompt);
}

}  // namespace
}  // namespace quern::engine
