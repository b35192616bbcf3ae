// An EngineCore with a Speculator over the hash model, and drafters that know what it will say.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "engine/run/engine_core.h"
#include "tests/engine/fakes/fake_runner.h"
#include "tests/engine/vocabulary/letter_vocabulary.h"

namespace quern::engine {

// Drafts what its script says.
class ScriptedDrafter final : public Drafter {
 public:
  using Script = std::function<std::vector<TokenId>(DraftJob&)>;
  explicit ScriptedDrafter(Script script) : script_(std::move(script)) {}

  void draft(std::span<DraftJob> jobs, double /*spare_ns*/) override {
    for (DraftJob& job : jobs) {
      job.drafted = script_(job);
      EXPECT_LE(job.drafted.size(), static_cast<size_t>(job.n_wanted));
    }
  }
  double run_ns() const override { return 0; }
  void forget(SequenceId) override {}

 private:
  Script script_;
};

class SpeculationFixture : public testing::Test {
 protected:
  static constexpr int64_t kContext = 120;
  static constexpr int32_t kPageTokens = 8;
  static constexpr int32_t kDraftTokens = 6;

  struct Shape {
    int32_t max_running = 8;
    int32_t max_step_tokens = 64;
    int32_t spare_outputs = 50;
    int32_t n_pages = 200;
  };

  struct Answer {
    std::string text;
    std::vector<TokenId> tokens;
    std::vector<TokenLogprob> logprobs;
    std::vector<TokenLogprob> prompt_logprobs;
    int n_ends = 0;
    Event end;
  };

  static Budget budget(const Shape& shape) {
    return {.max_running = shape.max_running,
            .max_step_tokens = shape.max_step_tokens,
            .max_step_outputs = shape.max_running + shape.spare_outputs,
            .n_pages = shape.n_pages,
            .page_tokens = kPageTokens};
  }

  void start_plain(const Shape& shape) {
    core_.reset();
    speculator_.reset();
    runner_ = std::make_unique<FakeRunner>(letter_vocabulary_size(), shape.n_pages, kPageTokens);
    runner_->after_row = after_row_;
    core_ = std::make_unique<EngineCore>(*runner_, budget(shape), letter_vocabulary_size());
  }

  // Drafts as long as possible in each step.
  void start(const Shape& shape, std::unique_ptr<Drafter> drafter, bool lookup = false) {
    start_plain(shape);
    speculator_ = std::make_unique<Speculator>(SpeculatorOptions{lookup, kDraftTokens, false},
                                               std::move(drafter));
    core_ = std::make_unique<EngineCore>(*runner_, budget(shape), letter_vocabulary_size(),
                                         CoreParts{.speculator = speculator_.get()});
  }
  void start(const Shape& shape, ScriptedDrafter::Script script) {
    start(shape, std::make_unique<ScriptedDrafter>(std::move(script)));
  }

  // What the engine is going to draw, as long as it goes on.
  std::vector<TokenId> truth(DraftJob& job) const {
    Sampler sampler(letter_vocabulary_size());
    std::vector<TokenId> tokens(job.tokens.begin(), job.tokens.end());
    std::vector<TokenId> out;
    while (static_cast<int32_t>(out.size()) < job.n_wanted) {
      std::vector<float> row = FakeRunner::logits_after(tokens, letter_vocabulary_size());
      if (after_row_) after_row_(tokens, row);
      SampleInput input{row, tokens, tokens.size(), std::nullopt};
      std::shared_ptr<const grammar::TokenMask> mask;
      if (job.matcher) {
        const auto made = job.matcher->mask();
        if (!made.ok()) break;
        mask = *made;
        input.permitted = mask->bits;
      }
      const auto drawn = sampler.sample(input, *job.sampling);
      if (!drawn.ok()) break;
      out.push_back(drawn->token);
      tokens.push_back(drawn->token);
      if (job.matcher && (!job.matcher->accept(drawn->token).ok() || job.matcher->complete()))
        break;
    }
    return out;
  }
  ScriptedDrafter::Script truthful() const {
    return [this](DraftJob& job) { return truth(job); };
  }
  // The truth but for one token.
  ScriptedDrafter::Script wrong_at(size_t index) const {
    return [this, index](DraftJob& job) {
      std::vector<TokenId> out = truth(job);
      if (index < out.size()) out[index] = kFirstByte + (out[index] + 1) % 256;
      return out;
    };
  }

  Submission submission(Request request, const std::shared_ptr<EventQueue>& events) const {
    return {std::make_unique<Sequence>(std::move(request), *tokenizer_, kContext,
                                       std::chrono::steady_clock::now()),
            events,
            {}};
  }
  std::shared_ptr<EventQueue> submit(Request request, size_t max_bytes = 1 << 20) {
    auto events = std::make_shared<EventQueue>(max_bytes);
    core_->accept(submission(std::move(request), events));
    return events;
  }

  void run_all() {
    for (int i = 0; i < 10000 && !core_->idle(); ++i) {
      core_->step();
      ASSERT_EQ(core_->scheduler().check_integrity(), std::nullopt);
    }
    ASSERT_TRUE(core_->idle());
    ASSERT_EQ(core_->scheduler().n_pages_used(), 0);
  }

  static Answer collect(EventQueue& events) {
    Answer answer;
    while (auto event = events.next(std::chrono::milliseconds(0))) {
      EXPECT_EQ(answer.n_ends, 0) << "something follows the end";
      if (event->kind != Event::Kind::kText) {
        ++answer.n_ends;
        answer.end = std::move(*event);
        continue;
      }
      answer.text += event->text;
      const auto append = [](auto& to, const auto& from) {
        to.insert(to.end(), from.begin(), from.end());
      };
      append(answer.tokens, event->tokens);
      append(answer.logprobs, event->logprobs);
      append(answer.prompt_logprobs, event->prompt_logprobs);
    }
    return answer;
  }

  static void expect_same_logprobs(const std::vector<TokenLogprob>& a,
                                   const std::vector<TokenLogprob>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].token, b[i].token);
      EXPECT_EQ(a[i].logprob, b[i].logprob);
      EXPECT_EQ(a[i].top, b[i].top);
    }
  }
  static void expect_same(const Answer& a, const Answer& b) {
    EXPECT_EQ(a.text, b.text);
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_EQ(a.n_ends, 1);
    EXPECT_EQ(b.n_ends, 1);
    EXPECT_EQ(a.end.kind, b.end.kind);
    EXPECT_EQ(a.end.reason, b.end.reason);
    EXPECT_EQ(a.end.matched_stop, b.end.matched_stop);
    EXPECT_EQ(a.end.usage.prompt_tokens, b.end.usage.prompt_tokens);
    EXPECT_EQ(a.end.usage.completion_tokens, b.end.usage.completion_tokens);
    EXPECT_EQ(a.end.error.has_value(), b.end.error.has_value());
    if (a.end.error && b.end.error) {
      EXPECT_EQ(a.end.error->message(), b.end.error->message());
    }
    expect_same_logprobs(a.logprobs, b.logprobs);
    expect_same_logprobs(a.prompt_logprobs, b.prompt_logprobs);
  }

  Answer plain(const Request& request) {
    start_plain({});
    const auto events = submit(request);
    run_all();
    return collect(*events);
  }

  // Greedy and sampled, penalties, bias, stop strings, log-probabilities, short and long.
  static Request request(uint32_t seed) {
    std::mt19937 random(seed);
    Request r;
    r.prompt = {kBos};
    for (auto n = random() % 40; n > 0; --n) {
      r.prompt.push_back(kFirstByte + static_cast<TokenId>(random() % 256));
    }
    r.max_tokens = seed % 7 == 6 ? -1 : 1 + static_cast<int64_t>(random() % 40);
    r.sampling.seed = seed;
    r.sampling.temperature = seed % 3 == 0 ? 0.0F : 1.0F;
    r.sampling.top_k = seed % 4 == 1 ? 5 : 0;
    r.sampling.repetition_penalty = seed % 2 == 0 ? 1.3F : 1.0F;
    r.sampling.frequency_penalty = seed % 4 == 3 ? 0.5F : 0.0F;
    r.sampling.logit_bias = {{byte_token('e'), 6.0F}};
    if (seed % 4 == 2) r.stop = {"ee", "q"};
    if (seed % 3 == 1) r.top_logprobs = 3;
    r.prompt_logprobs = seed % 5 == 0;
    return r;
  }

  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_ = letter_tokenizer();
  // Of the model, for whoever starts it and for the truth.
  std::function<void(std::span<const int32_t> tokens, std::span<float> row)> after_row_;
  std::unique_ptr<FakeRunner> runner_;
  std::unique_ptr<Speculator> speculator_;
  std::unique_ptr<EngineCore> core_;
};

}  // namespace quern::engine
