// The draft model on the hash model: as good as the model it is always right, whatever it can hold
// and whoever else runs; anything else about it costs speed only.
#include "engine/run/draft_model.h"

#include <thread>

#include "speculation_fixture.h"

namespace quern::engine {
namespace {

class DraftModelTest : public SpeculationFixture {
 protected:
  struct DraftOptions {
    int32_t n_pages = 200;
    int32_t max_step_tokens = 64;
    int64_t context_tokens = 1000;
    int64_t n_vocab = letter_vocabulary_size();
  };

  void start_drafting(const Shape& shape, const DraftOptions& options) {
    auto runner = std::make_unique<FakeRunner>(options.n_vocab, options.n_pages, kPageTokens);
    draft_runner_ = runner.get();
    DraftShape draft;
    draft.n_vocab = options.n_vocab;
    draft.n_vocab_target = letter_vocabulary_size();
    draft.context_tokens = options.context_tokens;
    draft.n_pages = options.n_pages;
    draft.page_tokens = kPageTokens;
    draft.max_running = shape.max_running;
    draft.max_step_tokens = options.max_step_tokens;
    start(shape, std::make_unique<DraftModel>(std::move(runner), draft, Log::none()));
  }

  // Ends by length, so that every guess can be used.
  static Request endless(uint32_t seed) {
    Request r = request(seed);
    r.stop.clear();
    r.max_tokens = 20 + seed % 9;
    r.sampling.ignore_end_of_generation = true;
    return r;
  }

  void expect_answers(uint32_t n_requests) {
    std::vector<std::shared_ptr<EventQueue>> streams;
    for (uint32_t seed = 0; seed < n_requests; ++seed) {
      streams.push_back(submit(endless(seed)));
      core_->step();
    }
    run_all();
    std::vector<Answer> answers;
    for (const auto& stream : streams) answers.push_back(collect(*stream));
    counters_ = core_->counters();
    for (uint32_t seed = 0; seed < n_requests; ++seed) {
      SCOPED_TRACE("request " + std::to_string(seed));
      expect_same(answers[seed], plain(endless(seed)));
    }
  }

  FakeRunner* draft_runner_ = nullptr;
  CoreCounters counters_;
};

TEST_F(DraftModelTest, TheSameModelIsAlwaysRight) {
  for (const Shape& shape : {Shape{.max_running = 1}, Shape{}, Shape{.n_pages = 18}}) {
    start_drafting(shape, {});
    expect_answers(16);
    EXPECT_GT(counters_.drafted_tokens, 100U);
    EXPECT_EQ(counters_.accepted_tokens, counters_.drafted_tokens);
    EXPECT_LT(counters_.steps, counters_.completion_tokens / 2);
  }
}

TEST_F(DraftModelTest, CatchesUpWithPromptsInPieces) {
  start_drafting({.max_running = 4}, {.max_step_tokens = 4});
  draft_runner_->before_run = [](int64_t, const ops::StepInputs& inputs) {
    EXPECT_LE(inputs.tokens.size(), 4U);
    return ok_status();
  };
  expect_answers(8);
  EXPECT_GT(counters_.drafted_tokens, 50U);
  EXPECT_EQ(counters_.accepted_tokens, counters_.drafted_tokens);
}

// On a draft model that takes a millisecond per token, with room for twenty beside the streams.
TEST_F(DraftModelTest, CatchesUpInTheTimeThatStreamsAllow) {
  auto runner = std::make_unique<FakeRunner>(letter_vocabulary_size(), 64, kPageTokens);
  std::vector<size_t> pieces;
  runner->before_run = [&](int64_t, const ops::StepInputs& inputs) {
    pieces.push_back(inputs.tokens.size());
    std::this_thread::sleep_for(std::chrono::milliseconds(inputs.tokens.size()));
    return ok_status();
  };
  DraftShape shape;
  shape.n_vocab = shape.n_vocab_target = letter_vocabulary_size();
  shape.context_tokens = 1000;
  shape.n_pages = 64;
  shape.page_tokens = kPageTokens;
  shape.max_running = 2;
  DraftModel model(std::move(runner), shape, Log::none());
  const std::vector<TokenId> text(200, kFirstByte);
  const SamplingParams sampling;
  bool ready = false;
  for (int step = 0; step < 40 && !ready; ++step) {
    DraftJob jobs[] = {
        {.id = 1, .tokens = text, .sampling = &sampling, .n_wanted = 1, .n_left = 100}};
    model.draft(jobs, 20e6);
    ready = !jobs[0].drafted.empty();
  }
  ASSERT_TRUE(ready);
  ASSERT_GT(pieces.size(), 5U);
  EXPECT_EQ(pieces[0], 32U);  // nothing is known yet
  // A sleep takes no less than it was asked for, so more never fit; a machine that stalls measures
  // too much.
  for (size_t i = 1; i + 1 < pieces.size(); ++i) {
    EXPECT_LE(pieces[i], 20U) << i;
    EXPECT_GE(pieces[i], 8U) << i;
  }
}

TEST_F(DraftModelTest, DraftsForSomeWhenItsPagesRunOut) {
  start_drafting({}, {.n_pages = 10});
  expect_answers(16);
  EXPECT_GT(counters_.drafted_tokens, 50U);
  EXPECT_EQ(counters_.accepted_tokens, counters_.drafted_tokens);
}

TEST_F(DraftModelTest, RecoversFromWrongGuesses) {
  start_drafting({}, {});
  draft_runner_->after_row = [](std::span<const int32_t> tokens, std::span<float> row) {
    if (tokens.size() % 5 == 0) row[byte_token('z')] = 1000.0F;
  };
  expect_answers(16);
  EXPECT_GT(counters_.accepted_tokens, 100U);
  EXPECT_LT(counters_.accepted_tokens, counters_.drafted_tokens);
}

TEST_F(DraftModelTest, EndsWithItsContext) {
  start_drafting({}, {.context_tokens = 30});
  draft_runner_->before_run = [](int64_t, const ops::StepInputs& inputs) {
    for (const ops::SequenceSlice& slice : inputs.sequences) {
      EXPECT_LE(slice.first_position + slice.n_tokens, 30);
    }
    return ok_status();
  };
  expect_answers(8);
  EXPECT_GT(counters_.drafted_tokens, 10U);
}

TEST_F(DraftModelTest, TokensThatItDoesNotHaveAreNotGuessed) {
  start_drafting({}, {.n_vocab = kFirstWord});
  draft_runner_->before_run = [](int64_t, const ops::StepInputs& inputs) {
    for (const int32_t token : inputs.tokens) EXPECT_LT(token, kFirstWord);
    return ok_status();
  };
  expect_answers(16);
  EXPECT_GT(counters_.drafted_tokens, 10U);
  start_drafting({}, {.n_vocab = letter_vocabulary_size() + 5});
  expect_answers(4);
}

TEST_F(DraftModelTest, ABrokenOneIsGivenUp) {
  for (const bool gone : {false, true}) {
    start_drafting({}, {});
    FakeRunner& runner = *draft_runner_;
    runner.before_run = [&runner, gone](int64_t step, const ops::StepInputs&) -> Status {
      EXPECT_LE(step, 3);
      if (step < 3) return ok_status();
      if (!gone) return Error(ErrorKind::kInternal, "device lost");
      runner.model_gone = true;
      return ok_status();
    };
    expect_answers(8);
    EXPECT_GT(counters_.finished, 0U);
    EXPECT_EQ(counters_.failed, 0U);
  }
}

}  // namespace
}  // namespace quern::engine
