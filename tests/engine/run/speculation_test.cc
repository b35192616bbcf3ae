// Drafts in the engine: whatever is guessed, the answers are those without; right guesses save
// steps, wrong ones leave no trace.
#include <atomic>
#include <limits>
#include <new>
#include <thread>

#include "engine/grammar/gbnf.h"
#include "engine/grammar/json_schema.h"
#include "speculation_fixture.h"

namespace quern::engine {
namespace {

using SpeculationTest = SpeculationFixture;

constexpr uint32_t kRequests = 28;

// The model spells `text` behind a prompt of `n_prompt` tokens; 0 ends it.
auto spelling(std::string text, size_t n_prompt) {
  return [text = std::move(text), n_prompt](std::span<const int32_t> tokens, std::span<float> row) {
    if (tokens.size() < n_prompt) return;
    const char next = text[(tokens.size() - n_prompt) % text.size()];
    row[static_cast<size_t>(next == 0 ? kEos : byte_token(static_cast<unsigned char>(next)))] =
        1000.0F;
  };
}

Request spelled() {
  Request r;
  r.prompt = {kBos, byte_token('x')};
  r.sampling.temperature = 0;
  r.max_tokens = 100;
  return r;
}

TEST_F(SpeculationTest, RightAndWrongAtEachPositionGiveTheSameAnswers) {
  std::vector<Answer> expected;
  for (uint32_t seed = 0; seed < kRequests; ++seed) expected.push_back(plain(request(seed)));
  std::mt19937 random(1);
  std::vector<ScriptedDrafter::Script> scripts = {truthful()};
  for (size_t i = 0; i < kDraftTokens; ++i) scripts.push_back(wrong_at(i));
  scripts.push_back([&random](DraftJob& job) {  // nonsense
    std::vector<TokenId> out;
    for (int32_t n = job.n_wanted; n > 0; --n) {
      out.push_back(
          static_cast<TokenId>(random() % static_cast<uint32_t>(letter_vocabulary_size())));
    }
    return out;
  });
  const Shape shapes[] = {{1, 16, 8, 200}, {8, 64, 50, 200}, {8, 16, 3, 22}, {24, 48, 9, 16}};
  uint64_t preemptions = 0;
  for (size_t s = 0; s < scripts.size(); ++s) {
    for (const Shape& shape : shapes) {
      SCOPED_TRACE("script " + std::to_string(s) + ", " + std::to_string(shape.max_running) +
                   " at once");
      start(shape, scripts[s]);
      std::vector<std::shared_ptr<EventQueue>> streams;
      for (uint32_t seed = 0; seed < kRequests; ++seed) {
        streams.push_back(submit(request(seed)));
        if (seed % 3 == 0) core_->step();
      }
      run_all();
      for (uint32_t seed = 0; seed < kRequests; ++seed) {
        SCOPED_TRACE("request " + std::to_string(seed));
        expect_same(collect(*streams[seed]), expected[seed]);
      }
      preemptions += core_->counters().preemptions;
      const CoreCounters& counters = core_->counters();
      EXPECT_GT(counters.drafted_tokens, 0U);
      if (s != 1 && s + 1 < scripts.size()) {
        EXPECT_GT(counters.accepted_tokens, 0U);
      }
      if (s == 1) {
        EXPECT_EQ(counters.accepted_tokens, 0U);
      }
    }
  }
  EXPECT_GT(preemptions, 0U);
}

TEST_F(SpeculationTest, RightGuessesSaveSteps) {
  Request r = spelled();
  r.max_tokens = 1 + 10 * (kDraftTokens + 1);
  r.sampling.ignore_end_of_generation = true;
  const Answer expected = plain(r);
  EXPECT_EQ(core_->counters().steps, 71U);
  start({}, truthful());
  const auto events = submit(r);
  run_all();
  expect_same(collect(*events), expected);
  EXPECT_EQ(core_->counters().steps, 11U);
  EXPECT_EQ(core_->counters().drafted_tokens, 60U);
  EXPECT_EQ(core_->counters().accepted_tokens, 60U);
  EXPECT_EQ(core_->counters().completion_tokens, 71U);
}

TEST_F(SpeculationTest, MaxTokensAndContextEndInTheMiddleOfADraft) {
  for (int64_t max_tokens = 1; max_tokens <= 2 * kDraftTokens + 3; ++max_tokens) {
    Request r = spelled();
    r.max_tokens = max_tokens;
    r.sampling.ignore_end_of_generation = true;
    const Answer expected = plain(r);
    start({.n_pages = 15}, truthful());  // exactly one context
    const auto events = submit(r);
    run_all();
    const Answer answer = collect(*events);
    expect_same(answer, expected);
    EXPECT_EQ(answer.end.usage.completion_tokens, max_tokens);
    EXPECT_EQ(answer.end.reason, FinishReason::kLength);
    // Nothing is drafted that could not be used.
    EXPECT_EQ(core_->counters().accepted_tokens, core_->counters().drafted_tokens);
  }
  Request endless = spelled();
  endless.max_tokens = -1;
  endless.sampling.ignore_end_of_generation = true;
  const Answer expected = plain(endless);
  start({.n_pages = 15}, truthful());
  const auto events = submit(endless);
  run_all();
  const Answer answer = collect(*events);
  expect_same(answer, expected);
  EXPECT_EQ(answer.end.usage.completion_tokens, kContext - 2);
}

TEST_F(SpeculationTest, StopStringsAndEndTokensInsideADraftEndTheAnswer) {
  for (size_t before = 0; before < 9; ++before) {
    const std::string head(before, 'a');
    Request stopped = spelled();
    stopped.stop = {"STOP"};
    after_row_ = spelling(head + "STOPbcdefgh", 2);
    const Answer expected = plain(stopped);
    EXPECT_EQ(expected.text, head);
    start({}, truthful());
    const auto events = submit(stopped);
    run_all();
    const Answer answer = collect(*events);
    expect_same(answer, expected);
    EXPECT_EQ(answer.end.matched_stop, "STOP");
    EXPECT_EQ(answer.end.usage.completion_tokens, static_cast<int64_t>(before) + 4);

    after_row_ = spelling(head + std::string(1, 0) + "bcdefgh", 2);
    const Answer ended = plain(spelled());
    EXPECT_EQ(ended.text, head);
    start({}, truthful());
    const auto other = submit(spelled());
    run_all();
    expect_same(collect(*other), ended);
  }
}

TEST_F(SpeculationTest, GrammarsMaskEachPosition) {
  grammar::Budget grammar_budget;
  grammar::Grammar grammar(grammar_budget);
  ASSERT_TRUE(grammar::parse_json_schema(
                  *parse_json(R"({"type":"object","properties":{"name":{"type":"string",
                  "maxLength":12},"likes":{"enum":["cats","dogs"]}},"required":["name","likes"]})"),
                  grammar)
                  .ok());
  auto automaton = grammar::compile(grammar);
  ASSERT_TRUE(automaton.ok());
  const auto constraint = grammar::Constraint::create(std::move(automaton).value(),
                                                      grammar::TokenTrie::build(*tokenizer_));
  ASSERT_TRUE(constraint.ok());
  int n_whole = 0;
  for (uint32_t seed = 0; seed < 12; ++seed) {
    Request r = request(seed);
    r.constraint = *constraint;
    r.max_tokens = 90 - static_cast<int64_t>(r.prompt.size());
    r.stop.clear();
    const Answer expected = plain(r);
    if (expected.end.reason == FinishReason::kStop) {
      EXPECT_TRUE((*constraint)->matches(expected.text)) << expected.text;
      ++n_whole;
    }
    for (const auto& script : {truthful(), wrong_at(0), wrong_at(3)}) {
      start({}, script);
      const auto events = submit(r);
      run_all();
      expect_same(collect(*events), expected);
    }
    start({}, truthful());
    submit(r);
    run_all();
    EXPECT_EQ(core_->counters().accepted_tokens, core_->counters().drafted_tokens);
  }
  EXPECT_GT(n_whole, 5);
}

TEST_F(SpeculationTest, SiblingsDraftOnTheirOwn) {
  Request r = request(3);
  r.prompt.assign(21, kFirstByte + 3);
  r.max_tokens = 20;
  r.sampling.temperature = 1;
  r.sampling.ignore_end_of_generation = true;
  std::vector<Answer> expected;
  for (uint64_t i = 0; i < 4; ++i) {
    Request one = r;
    one.sampling.seed += i;
    expected.push_back(plain(one));
  }
  for (const Shape& shape : {Shape{}, Shape{.max_running = 2, .n_pages = 12}}) {
    start(shape, wrong_at(4));
    std::vector<std::shared_ptr<EventQueue>> streams;
    Submission group;
    for (uint64_t i = 0; i < 4; ++i) {
      Request one = r;
      one.sampling.seed += i;
      streams.push_back(std::make_shared<EventQueue>(1 << 20));
      Submission next = submission(one, streams.back());
      if (i == 0) {
        group = std::move(next);
      } else {
        group.siblings.push_back(std::move(next));
      }
    }
    core_->accept(std::move(group));
    run_all();
    for (size_t i = 0; i < 4; ++i) expect_same(collect(*streams[i]), expected[i]);
    EXPECT_GT(core_->counters().accepted_tokens, 0U);
  }
}

// Prompts that go on as the answer did, or as it was guessed to: what is found is the truth.
TEST_F(SpeculationTest, ComputedPromptsHoldNoWrongGuess) {
  std::vector<std::vector<TokenId>> guesses;
  const auto script = [&](DraftJob& job) {
    std::vector<TokenId> out = wrong_at(2)(job);
    guesses.emplace_back(job.tokens.begin(), job.tokens.end());
    guesses.back().insert(guesses.back().end(), out.begin(), out.end());
    return out;
  };
  Request r = request(1);
  r.prompt.assign(13, kFirstByte + 1);
  r.max_tokens = 50;
  r.top_logprobs = 1;
  r.sampling.ignore_end_of_generation = true;
  start({}, script);
  const auto first = submit(r);
  run_all();
  const Answer answer = collect(*first);
  ASSERT_GT(guesses.size(), 5U);
  std::vector<std::vector<TokenId>> prompts = guesses;
  prompts.push_back(r.prompt);
  prompts.back().insert(prompts.back().end(), answer.tokens.begin(), answer.tokens.end());
  std::vector<Answer> hot;
  int64_t n_cached = 0;
  Request next = r;
  next.max_tokens = 4;
  for (size_t i = 0; i < prompts.size(); ++i) {
    next.prompt = prompts[i];
    const auto events = submit(next);
    run_all();
    hot.push_back(collect(*events));
    n_cached += hot.back().end.usage.cached_tokens;
  }
  EXPECT_GT(n_cached, 100);
  for (size_t i = 0; i < prompts.size(); ++i) {
    next.prompt = prompts[i];
    expect_same(hot[i], plain(next));
  }
}

// What a draft model may take to catch up is what prompts would get of the step.
TEST_F(SpeculationTest, DraftersAreToldHowMuchTimeStreamsLeave) {
  class Watcher final : public Drafter {
   public:
    explicit Watcher(std::vector<double>& spare) : spare_(spare) {}
    void draft(std::span<DraftJob>, double spare_ns) override { spare_.push_back(spare_ns); }
    double run_ns() const override { return 0; }
    void forget(SequenceId) override {}

   private:
    std::vector<double>& spare_;
  };
  std::vector<double> spare;
  start({}, std::make_unique<Watcher>(spare));
  submit(request(1));
  run_all();
  ASSERT_GT(spare.size(), 3U);
  for (const double ns : spare) EXPECT_GE(ns, StepCosts::kLeastGapNs / 2);
}

TEST_F(SpeculationTest, WhatGuessesWereWorthIsTold) {
  start_plain({});
  EXPECT_FALSE(core_->speculation().on);
  start({}, truthful());
  SpeculationStats stats = core_->speculation();
  EXPECT_TRUE(stats.on);
  for (const auto& rate : stats.acceptance) EXPECT_FALSE(rate.has_value());
  Request r = spelled();
  r.sampling.ignore_end_of_generation = true;
  submit(r);
  int32_t most = 0;
  while (!core_->idle()) {
    core_->step();
    most = std::max(most, core_->speculation().sequences);
  }
  EXPECT_EQ(most, 1);
  stats = core_->speculation();
  ASSERT_TRUE(stats.acceptance[kModelKind].has_value());
  EXPECT_GT(*stats.acceptance[kModelKind], 0.9);
  EXPECT_FALSE(stats.acceptance[0].has_value());
}

// Guessing and checking are one turn: another model's step never comes in between.
TEST_F(SpeculationTest, DraftsBelongToTheStepsTurn) {
  StepTurn turn;
  std::atomic<bool> other_had_it{false};
  std::thread other;
  start_plain({});
  speculator_ =
      std::make_unique<Speculator>(SpeculatorOptions{false, kDraftTokens, false},
                                   std::make_unique<ScriptedDrafter>([&](DraftJob& job) {
                                     if (!other.joinable()) {
                                       other = std::thread([&] {
                                         const StepTurn::Held held(&turn);
                                         other_had_it = true;
                                       });
                                       std::this_thread::sleep_for(std::chrono::milliseconds(20));
                                     }
                                     return truth(job);
                                   }));
  core_ = std::make_unique<EngineCore>(*runner_, budget({}), letter_vocabulary_size(),
                                       CoreParts{.speculator = speculator_.get(), .turn = &turn});
  bool checked = false;
  runner_->before_run = [&](int64_t, const ops::StepInputs& inputs) {
    if (inputs.tokens.size() > 1 && other.joinable() && !checked) {
      EXPECT_FALSE(other_had_it);
      checked = true;
    }
    return ok_status();
  };
  Request r = spelled();
  r.sampling.ignore_end_of_generation = true;
  submit(r);
  run_all();
  EXPECT_TRUE(checked);
  ASSERT_TRUE(other.joinable());
  other.join();
}

TEST_F(SpeculationTest, CancelWhileADraftIsComputed) {
  start({}, truthful());
  Request r = request(1);
  r.max_tokens = 60;
  r.sampling.ignore_end_of_generation = true;
  r.stop.clear();
  std::shared_ptr<EventQueue> victim;
  runner_->before_run = [&](int64_t step, const ops::StepInputs& inputs) -> Status {
    if (step == 4) {
      EXPECT_GT(inputs.outputs.size(), 2U);
      victim->cancel();
    }
    return ok_status();
  };
  victim = submit(r);
  const auto other = submit(request(2));
  run_all();
  const Answer answer = collect(*victim);
  EXPECT_EQ(answer.n_ends, 1);
  EXPECT_EQ(answer.end.reason, FinishReason::kCancelled);
  const Answer expected = plain(request(2));
  expect_same(collect(*other), expected);
}

TEST_F(SpeculationTest, ASlowReaderIsFailedInTheMiddleOfADraft) {
  Request r = spelled();
  r.sampling.ignore_end_of_generation = true;
  start({}, truthful());
  const auto slow = submit(r, 60);
  const auto other = submit(r);
  run_all();
  const Answer failed = collect(*slow);
  EXPECT_EQ(failed.n_ends, 1);
  ASSERT_EQ(failed.end.kind, Event::Kind::kFailed);
  EXPECT_EQ(failed.end.error->kind(), ErrorKind::kCancelled);
  const Answer answer = collect(*other);
  expect_same(answer, plain(r));
}

// A row behind a wrong guess is never looked at; behind right ones it counts as ever.
TEST_F(SpeculationTest, NonFiniteLogitsCountWhereTheyAreReached) {
  Request r = spelled();
  r.max_tokens = 40;
  r.sampling.ignore_end_of_generation = true;
  after_row_ = [](std::span<const int32_t> tokens, std::span<float> row) {
    spelling("abcdefghijklmnopqrstuvwxyz", 2)(tokens, row);
    if (tokens.back() == kEos) row[7] = std::numeric_limits<float>::quiet_NaN();
  };
  const Answer expected = plain(r);
  start({}, [this](DraftJob& job) {
    std::vector<TokenId> out = truth(job);
    if (out.size() > 2) out[2] = kEos;
    return out;
  });
  const auto good = submit(r);
  run_all();
  expect_same(collect(*good), expected);
  EXPECT_GT(core_->counters().accepted_tokens, 0U);

  after_row_ = [](std::span<const int32_t> tokens, std::span<float> row) {
    spelling("abcdefghijklmnopqrstuvwxyz", 2)(tokens, row);
    if (tokens.size() == 11) row[7] = std::numeric_limits<float>::infinity();
  };
  const Answer broken = plain(r);
  ASSERT_EQ(broken.end.kind, Event::Kind::kFailed);
  start({}, [](DraftJob& job) {
    std::vector<TokenId> out;
    for (size_t i = 0; i < static_cast<size_t>(job.n_wanted); ++i) {
      out.push_back(byte_token(static_cast<unsigned char>('a' + (job.tokens.size() - 2 + i) % 26)));
    }
    return out;
  });
  const auto bad = submit(r);
  run_all();
  expect_same(collect(*bad), broken);
  EXPECT_EQ(core_->scheduler().n_pages_idle(), 0);
}

TEST_F(SpeculationTest, AFailedStepEndsItsSequencesAndNoOther) {
  Request r = spelled();
  r.max_tokens = 30;
  r.sampling.ignore_end_of_generation = true;
  const Answer expected = plain(r);
  start({.max_running = 2}, truthful());
  runner_->before_run = [](int64_t step, const ops::StepInputs& inputs) -> Status {
    if (step != 3) return ok_status();
    EXPECT_GT(inputs.outputs.size(), 2U);
    return Error(ErrorKind::kInternal, "device lost");
  };
  std::vector<std::shared_ptr<EventQueue>> streams;
  for (int i = 0; i < 5; ++i) streams.push_back(submit(r));
  run_all();
  int failed = 0;
  for (const auto& stream : streams) {
    const Answer answer = collect(*stream);
    EXPECT_EQ(answer.n_ends, 1);
    failed += answer.end.kind == Event::Kind::kFailed ? 1 : 0;
    if (answer.end.kind == Event::Kind::kFinished) expect_same(answer, expected);
  }
  EXPECT_EQ(failed, 2);
}

TEST_F(SpeculationTest, ADrafterWithoutMemoryCostsNothingButSpeed) {
  const Answer expected = plain(request(1));
  start({}, [](DraftJob&) -> std::vector<TokenId> { throw std::bad_alloc(); });
  const auto events = submit(request(1));
  run_all();
  expect_same(collect(*events), expected);
  EXPECT_EQ(core_->counters().drafted_tokens, 0U);
}

TEST_F(SpeculationTest, RepetitionsAreGuessedFromTheText) {
  after_row_ = spelling("the cat and the dog and the cat and the ", 2);
  Request r = spelled();
  r.sampling.ignore_end_of_generation = true;
  const Answer expected = plain(r);
  const uint64_t steps = core_->counters().steps;
  start({}, nullptr, /*lookup=*/true);
  const auto events = submit(r);
  run_all();
  expect_same(collect(*events), expected);
  EXPECT_LT(core_->counters().steps, steps / 2);
  EXPECT_LT(core_->counters().accepted_tokens, core_->counters().drafted_tokens);
}

}  // namespace
}  // namespace quern::engine
