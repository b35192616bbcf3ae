// An EngineCore on the hash model, and requests for it, for tests of one step after the other.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/run/engine_core.h"
#include "tests/engine/fakes/fake_runner.h"
#include "tests/engine/vocabulary/letter_vocabulary.h"

namespace quern::engine {

struct Answer {
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> prompt_logprobs;
  int n_ends = 0;
  Event end;
};

struct Shape {
  int32_t max_running = 8;
  int32_t max_step_tokens = 16;
  int32_t spare_outputs = 2;
  int32_t n_pages = 200;
  int32_t max_idle_pages = INT32_MAX;
};

class EngineCoreTest : public testing::Test {
 protected:
  static constexpr int64_t kContext = 120;
  static constexpr int32_t kPageTokens = 8;

  void start(const Shape& setup) {
    runner_ = std::make_unique<FakeRunner>(letter_vocabulary_size(), setup.n_pages, kPageTokens);
    const Budget budget{
        setup.max_running, setup.max_step_tokens, setup.max_running + setup.spare_outputs,
        setup.n_pages,     kPageTokens,           setup.max_idle_pages};
    core_ = std::make_unique<EngineCore>(*runner_, budget, letter_vocabulary_size());
  }

  Submission submission(Request request, const std::shared_ptr<EventQueue>& events) {
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

  // Answers to one prompt with seeds that follow each other.
  std::vector<std::shared_ptr<EventQueue>> submit_group(const Request& request, int n) {
    std::vector<std::shared_ptr<EventQueue>> streams;
    Submission group;
    for (int i = 0; i < n; ++i) {
      Request one = request;
      one.sampling.seed += static_cast<uint64_t>(i);
      streams.push_back(std::make_shared<EventQueue>(1 << 20));
      Submission next = submission(one, streams.back());
      if (i == 0) {
        group = std::move(next);
      } else {
        group.siblings.push_back(std::move(next));
      }
    }
    core_->accept(std::move(group));
    return streams;
  }

  void run_all() {
    for (int i = 0; i < 10000 && !core_->idle(); ++i) {
      core_->step();
      ASSERT_EQ(core_->scheduler().check_integrity(), std::nullopt);
    }
    ASSERT_TRUE(core_->idle());
    ASSERT_TRUE(core_->scheduler().idle());
    ASSERT_EQ(core_->scheduler().n_pages_used(), 0);
  }

  static Answer collect(EventQueue& events) {
    Answer answer;
    while (auto event = events.next(std::chrono::milliseconds(0))) {
      if (event->kind != Event::Kind::kText) {
        ++answer.n_ends;
        answer.end = std::move(*event);
        continue;
      }
      answer.text += event->text;
      answer.tokens.insert(answer.tokens.end(), event->tokens.begin(), event->tokens.end());
      for (TokenLogprob& one : event->prompt_logprobs) {
        answer.prompt_logprobs.push_back(std::move(one));
      }
    }
    return answer;
  }

  static Request request(uint32_t seed) {
    std::mt19937 random(seed);
    Request r;
    r.prompt = {kBos};
    for (auto n = random() % 40; n > 0; --n) {
      r.prompt.push_back(kFirstByte + static_cast<TokenId>(random() % 256));
    }
    r.max_tokens = 1 + static_cast<int64_t>(random() % 40);
    r.sampling.seed = seed;
    r.sampling.temperature = seed % 3 == 0 ? 0.0F : 1.0F;
    r.sampling.repetition_penalty = seed % 2 == 0 ? 1.3F : 1.0F;
    r.prompt_logprobs = seed % 5 == 0;
    if (r.prompt_logprobs) r.top_logprobs = 2;
    return r;
  }

  Answer alone(uint32_t seed) {
    start({});
    return ask(request(seed));
  }

  Answer ask(Request request) {
    const auto events = submit(std::move(request));
    run_all();
    return collect(*events);
  }

  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_ = letter_tokenizer();
  std::unique_ptr<FakeRunner> runner_;
  std::unique_ptr<EngineCore> core_;
};

}  // namespace quern::engine
