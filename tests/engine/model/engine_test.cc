// The engine on the demo model's real weights: the published story, and answers that do not depend
// on batch, chunking, memory or neighbours.
#include "engine/run/engine.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <iterator>
#include <thread>

#include "config/hardware/profile.h"
#include "engine/sample/philox.h"
#include "kernels/cpu/cpu_backend.h"
#include "models/loader/embedded_model.h"
#include "tests/engine/store/scratch_directory.h"

namespace quern::engine {
namespace {

using std::chrono::milliseconds;

struct Answer {
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> logprobs;
  std::vector<TokenLogprob> prompt_logprobs;
  Event end;
};

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (loader::embedded_model("stories260k").empty()) {
      GTEST_SKIP() << "built without the demo model";
    }
    profile_ = hardware::probe_hardware();
    auto backend = cpu::create_cpu_backend({.profile = profile_, .threads = 2});
    ASSERT_TRUE(backend.ok()) << backend.error().message();
    backend_ = std::move(*backend);
    auto file = gguf::GgufFile::from_bytes(loader::embedded_model("stories260k"), "demo");
    ASSERT_TRUE(file.ok()) << file.error().message();
    auto model = loader::Model::load(*file, *backend_);
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
    start({});
  }

  void start(const EngineOptions& options) {
    engine_.reset();
    auto engine = Engine::create(model_, *backend_, options);
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    engine_ = std::move(*engine);
  }

  std::vector<TokenId> prompt(const std::string& text) const {
    std::vector<TokenId> tokens = {*model_->tokenizer().special().bos};
    const auto encoded = model_->tokenizer().encode(text, tokenizer::SpecialParsing::kText);
    tokens.insert(tokens.end(), encoded->begin(), encoded->end());
    return tokens;
  }

  Request greedy(int64_t max_tokens) const {
    Request r;
    r.prompt = {*model_->tokenizer().special().bos};
    r.sampling.temperature = 0;
    r.max_tokens = max_tokens;
    return r;
  }

  Request seeded(uint64_t seed) const {
    Request r;
    const char* const beginnings[] = {"", "One day, a little", "Tim and Sue went to the park. They",
                                      "The big dog was very sad because he could not find his red "
                                      "ball. He looked in the house, in the garden and"};
    r.prompt = prompt(beginnings[seed % 4]);
    r.sampling.temperature = 0.9F;
    r.sampling.top_p = seed % 2 == 0 ? 0.95F : 1.0F;
    r.sampling.top_k = seed % 3 == 0 ? 40 : 0;
    r.sampling.repetition_penalty = seed % 5 == 0 ? 1.1F : 1.0F;
    r.sampling.seed = seed;
    r.sampling.ignore_end_of_generation = true;
    if (seed == 1) r.sampling.mirostat = 2;
    if (seed == 2) r.sampling.mirostat = 1;
    r.sampling.dry_multiplier = seed >= 5 ? 0.8F : 0.0F;
    r.sampling.xtc_probability = seed == 6 ? 0.5F : 0.0F;
    r.sampling.dynatemp_range = seed == 7 ? 0.5F : 0.0F;
    r.max_tokens = 60 + static_cast<int64_t>(seed) * 10;
    return r;
  }

  std::unique_ptr<Stream> submit(Request request) {
    auto stream = engine_->submit(std::move(request));
    EXPECT_TRUE(stream.ok()) << stream.error().message();
    return stream.ok() ? std::move(*stream) : nullptr;
  }

  static Answer collect(Stream& stream) {
    Answer answer;
    while (true) {
      auto event = stream.next(milliseconds(60000));
      if (!event) {
        ADD_FAILURE() << "no event came";
        return answer;
      }
      if (event->kind != Event::Kind::kText) {
        answer.end = std::move(*event);
        EXPECT_FALSE(answer.end.error.has_value()) << answer.end.error->message();
        EXPECT_FALSE(stream.next(milliseconds(0)).has_value());
        return answer;
      }
      answer.text += event->text;
      const auto append = [](auto& to, auto& from) {
        to.insert(to.end(), from.begin(), from.end());
      };
      append(answer.tokens, event->tokens);
      append(answer.logprobs, event->logprobs);
      append(answer.prompt_logprobs, event->prompt_logprobs);
    }
  }

  Answer ask(Request request) { return collect(*submit(std::move(request))); }

  bool all_pages_free() {
    for (int i = 0; i < 5000; ++i) {
      if (engine_->stats().kv_pages_used == 0) return true;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return false;
  }

  static std::string published_story() {
    std::ifstream file(std::string(QUERN_SOURCE_DIR) + "/tests/golden/demo/expected_greedy.txt");
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }

  hardware::HardwareProfile profile_;
  std::unique_ptr<backend::Backend> backend_;
  std::shared_ptr<const loader::Model> model_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, WritesThePublishedStoryAloneAndEightAtOnce) {
  const std::string expected = published_story();
  ASSERT_GT(expected.size(), 200U);
  EXPECT_EQ(ask(greedy(256)).text, expected);
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(submit(greedy(256)));
  for (const auto& stream : streams) EXPECT_EQ(collect(*stream).text, expected);
}

TEST_F(EngineTest, SeededAnswersDoNotDependOnCompanyChunksOrMemory) {
  std::vector<Answer> alone;
  for (uint64_t seed = 0; seed < 8; ++seed) alone.push_back(ask(seeded(seed)));
  EXPECT_NE(alone[0].text, alone[4].text);

  std::vector<EngineOptions> variants(5);
  variants[1].max_step_tokens = 1;
  variants[2].max_step_tokens = 7;
  variants[3].max_step_tokens = 128;
  variants[3].max_sequences = 3;
  // Ten pages of 32 tokens for eight sequences that want three to five each.
  variants[4].context_tokens = 320;
  variants[4].kv_bytes =
      10 * graph::KvStorage::bytes_per_page(*model_->weights(), variants[4].kv_format);
  for (size_t v = 0; v < variants.size(); ++v) {
    SCOPED_TRACE("variant " + std::to_string(v));
    start(variants[v]);
    std::vector<std::unique_ptr<Stream>> streams;
    for (uint64_t seed = 0; seed < 8; ++seed) streams.push_back(submit(seeded(seed)));
    for (uint64_t seed = 0; seed < 8; ++seed) {
      const Answer answer = collect(*streams[seed]);
      EXPECT_EQ(answer.text, alone[seed].text) << "seed " << seed;
      EXPECT_EQ(answer.tokens, alone[seed].tokens) << "seed " << seed;
    }
    EXPECT_TRUE(all_pages_free());
    if (v == 4) {
      EXPECT_GT(engine_->stats().preemptions, 0U);
    }
  }
}

// Every bit of every logprob: cold, hot, in the company of equals, after everything was given up,
// and from another engine's disk.
TEST_F(EngineTest, LogprobsAreBitEqualWithComputedPromptsAndWithout) {
  const auto scored = [&](uint64_t seed) {
    Request r = seeded(seed);
    r.prompt = prompt(
        "The big dog was very sad because he could not find his red ball. He looked in the house, "
        "in the garden and under the old tree, and then he asked his friend the cat to help him");
    r.top_logprobs = 8;
    r.max_tokens = 24;
    return r;
  };
  const auto expect_equal = [](const Answer& a, const Answer& b) {
    EXPECT_EQ(a.tokens, b.tokens);
    ASSERT_EQ(a.logprobs.size(), b.logprobs.size());
    for (size_t i = 0; i < a.logprobs.size(); ++i) {
      EXPECT_EQ(std::bit_cast<uint32_t>(a.logprobs[i].logprob),
                std::bit_cast<uint32_t>(b.logprobs[i].logprob));
      EXPECT_EQ(a.logprobs[i].top, b.logprobs[i].top);
    }
  };
  EngineOptions off;
  off.idle_prompt_bytes = 0;
  start(off);
  std::vector<Answer> cold;
  for (uint64_t seed = 0; seed < 3; ++seed) cold.push_back(ask(scored(seed)));
  EXPECT_EQ(cold[2].end.usage.cached_tokens, 0);

  const tests::ScratchDirectory scratch;
  for (const ops::KvFormat format : {ops::KvFormat::kF16}) {
    EngineOptions options;
    options.kv_format = format;
    options.page_directory = scratch.path();
    start(options);
    for (int round = 0; round < 3; ++round) {
      for (uint64_t seed = 0; seed < 3; ++seed) {
        const Answer answer = ask(scored(seed));
        expect_equal(answer, cold[seed]);
        EXPECT_GE(answer.end.usage.cached_tokens, round > 0 ? 32 : 0);
      }
    }
    std::vector<std::unique_ptr<Stream>> streams;
    for (uint64_t seed = 0; seed < 3; ++seed) streams.push_back(submit(scored(seed)));
    for (uint64_t seed = 0; seed < 3; ++seed) expect_equal(collect(*streams[seed]), cold[seed]);
    start(options);  // what the first engine wrote; its model is identified soon
    bool restored = false;
    for (int i = 0; i < 100 && !restored; ++i) {
      expect_equal(ask(scored(1)), cold[1]);
      restored = engine_->stats().disk.pages_restored > 0;
      if (!restored) start(options);
      std::this_thread::sleep_for(milliseconds(20));
    }
    EXPECT_TRUE(restored);
  }
  EngineOptions tight;
  tight.context_tokens = 160;
  tight.kv_bytes = 7 * graph::KvStorage::bytes_per_page(*model_->weights(), tight.kv_format);
  start(tight);
  for (int round = 0; round < 2; ++round) {
    std::vector<std::unique_ptr<Stream>> streams;
    for (uint64_t seed = 0; seed < 3; ++seed) {
      streams.push_back(submit(scored(seed)));
      streams.push_back(submit(seeded(seed + 4)));
    }
    for (uint64_t seed = 0; seed < 3; ++seed) {
      expect_equal(collect(*streams[2 * seed]), cold[seed]);
      collect(*streams[2 * seed + 1]);
    }
  }
  EXPECT_GT(engine_->stats().preemptions, 0U);
  EXPECT_GT(engine_->stats().kv_pages_evicted, 0U);
}

TEST_F(EngineTest, CancelAndDisconnectFreePages) {
  Request endless = greedy(-1);
  endless.sampling.ignore_end_of_generation = true;
  auto cancelled = submit(endless);
  auto dropped = submit(endless);
  ASSERT_TRUE(cancelled->next(milliseconds(20000)).has_value());
  cancelled->cancel();
  dropped.reset();
  const Answer answer = collect(*cancelled);
  EXPECT_EQ(answer.end.reason, FinishReason::kCancelled);
  EXPECT_TRUE(all_pages_free());
}

TEST_F(EngineTest, ContextOverflowNamesBothCounts) {
  Request r = greedy(10);
  r.prompt.assign(512, r.prompt[0]);
  const auto refused = engine_->submit(r);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::kContextOverflow);
  EXPECT_NE(refused.error().message().find("512 tokens, the context holds 512"), std::string::npos);
  r.prompt.resize(511);
  r.sampling.ignore_end_of_generation = true;
  const Answer last = ask(r);
  EXPECT_EQ(last.end.usage.completion_tokens, 1);
  EXPECT_EQ(last.end.reason, FinishReason::kLength);
}

// Bit for bit: every log-probability after a shift is that of a fresh request on the tokens that
// are left, alone and in company, with pages to spare and without.
TEST_F(EngineTest, AShiftedAnswerIsThatOfAFreshRequest) {
  constexpr int64_t kContext = 96;
  EngineOptions small;
  small.context_tokens = kContext;
  EngineOptions tight = small;
  tight.max_step_tokens = 16;
  tight.kv_bytes = 7 * graph::KvStorage::bytes_per_page(*model_->weights(), tight.kv_format);
  start(small);
  for (uint64_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Request whole = seeded(seed);
    if (seed == 0) whole.sampling.temperature = 0;
    whole.shift_keep = seed % 2 == 0 ? 1 : 5;
    whole.top_logprobs = 3;
    whole.max_tokens = 160;
    const Answer answer = ask(whole);
    EXPECT_EQ(answer.end.reason, FinishReason::kLength);
    EXPECT_EQ(answer.end.usage.completion_tokens, 160);
    ASSERT_GT(answer.end.usage.shifts, 1);

    std::vector<TokenId> left = whole.prompt;
    const auto n_first = static_cast<std::ptrdiff_t>(kContext - std::ssize(left));
    left.insert(left.end(), answer.tokens.begin(), answer.tokens.begin() + n_first);
    const auto keep = static_cast<std::ptrdiff_t>(*whole.shift_keep);
    left.erase(left.begin() + keep, left.begin() + keep + (kContext - keep) / 2);
    Request fresh = whole;
    fresh.prompt = left;
    fresh.max_tokens = whole.max_tokens - n_first;
    fresh.sampling.seed = next_seed(whole.sampling.seed);
    const Answer rest = ask(fresh);
    ASSERT_EQ(rest.logprobs.size(), answer.logprobs.size() - static_cast<size_t>(n_first));
    for (size_t i = 0; i < rest.logprobs.size(); ++i) {
      const TokenLogprob& shifted = answer.logprobs[i + static_cast<size_t>(n_first)];
      ASSERT_EQ(rest.logprobs[i].token, shifted.token);
      ASSERT_EQ(std::bit_cast<uint32_t>(rest.logprobs[i].logprob),
                std::bit_cast<uint32_t>(shifted.logprob));
      ASSERT_EQ(rest.logprobs[i].top, shifted.top);
    }
  }
  std::vector<Answer> alone;
  const auto shifting = [&](uint64_t seed) {
    Request r = seeded(seed);
    r.shift_keep = 1;
    r.max_tokens = 200;
    return r;
  };
  for (uint64_t seed = 0; seed < 8; ++seed) alone.push_back(ask(shifting(seed)));
  start(tight);
  std::vector<std::unique_ptr<Stream>> streams;
  for (uint64_t seed = 0; seed < 8; ++seed) streams.push_back(submit(shifting(seed)));
  for (uint64_t seed = 0; seed < 8; ++seed) {
    EXPECT_EQ(collect(*streams[seed]).tokens, alone[seed].tokens) << "seed " << seed;
  }
  EXPECT_GT(engine_->stats().preemptions, 0U);
  EXPECT_TRUE(all_pages_free());
}

TEST_F(EngineTest, MaxTokensAndUsageAreExact) {
  const Answer answer = ask(greedy(7));
  EXPECT_EQ(answer.tokens.size(), 7U);
  EXPECT_EQ(answer.end.reason, FinishReason::kLength);
  EXPECT_EQ(answer.end.usage.prompt_tokens, 1);
  EXPECT_EQ(answer.end.usage.completion_tokens, 7);
  EXPECT_GE(answer.end.timings.total_ns, answer.end.timings.decode_ns);
}

TEST_F(EngineTest, StopStringAcrossTokens) {
  const std::string story = published_story();
  Request r = greedy(256);
  r.stop = {story.substr(60, 25)};
  const Answer answer = ask(r);
  EXPECT_EQ(answer.text, story.substr(0, story.find(r.stop[0])));
  EXPECT_EQ(answer.end.reason, FinishReason::kStop);
  EXPECT_EQ(answer.end.matched_stop, r.stop[0]);
}

TEST_F(EngineTest, LogprobsAreADistributionAndPromptsScoreAsTheyWereDrawn) {
  Request r = greedy(20);
  r.top_logprobs = 5;
  const Answer drawn = ask(r);
  ASSERT_EQ(drawn.logprobs.size(), drawn.tokens.size());
  for (size_t i = 0; i < drawn.logprobs.size(); ++i) {
    const TokenLogprob& one = drawn.logprobs[i];
    EXPECT_EQ(one.token, drawn.tokens[i]);
    ASSERT_EQ(one.top.size(), 5U);
    EXPECT_EQ(one.top[0].first, one.token);  // greedy
    EXPECT_EQ(one.top[0].second, one.logprob);
    double sum = 0;
    for (size_t k = 0; k < 5; ++k) {
      sum += std::exp(one.top[k].second);
      if (k > 0) {
        EXPECT_LE(one.top[k].second, one.top[k - 1].second);
      }
    }
    EXPECT_LE(sum, 1.00001);
  }
  // The same tokens as a prompt get the same numbers, bit for bit, in chunks of any size.
  Request echo = greedy(0);
  echo.prompt.insert(echo.prompt.end(), drawn.tokens.begin(), drawn.tokens.end());
  echo.prompt_logprobs = true;
  for (const int32_t chunk : {3, 256}) {
    EngineOptions options;
    options.max_step_tokens = chunk;
    start(options);
    const Answer scored = ask(echo);
    ASSERT_EQ(scored.prompt_logprobs.size(), drawn.tokens.size());
    for (size_t i = 0; i < drawn.tokens.size(); ++i) {
      EXPECT_EQ(scored.prompt_logprobs[i].logprob, drawn.logprobs[i].logprob) << i;
    }
  }
}

TEST_F(EngineTest, OptionsOutOfRangeAreRefused) {
  const auto error_of = [&](const EngineOptions& options) {
    const auto engine = Engine::create(model_, *backend_, options);
    return engine.ok() ? std::string("accepted") : engine.error().message();
  };
  EngineOptions options;
  options.max_sequences = 0;
  EXPECT_NE(error_of(options).find("max_sequences is 0"), std::string::npos);
  options = {};
  options.context_tokens = 513;
  EXPECT_NE(error_of(options).find("trained for 512"), std::string::npos);
  options = {};
  options.context_tokens = 512;
  options.kv_bytes = 1;
  EXPECT_NE(error_of(options).find("bytes"), std::string::npos);
}

}  // namespace
}  // namespace quern::engine
