// Requests with different adapters on one engine: each gets the bits it gets alone, and nobody
// finds what was computed with other adapters, in memory or on disk.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <optional>
#include <thread>

#include "engine/run/engine.h"
#include "tests/engine/store/scratch_directory.h"
#include "tests/support/backends.h"
#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace quern::engine {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kPromptTokens = 100;  // three whole pages of 32
constexpr int64_t kPageTokensOfPrompt = 96;

struct Answer {
  std::vector<TokenId> tokens;
  std::vector<uint32_t> logprobs;  // their bits
  int64_t cached = 0;
};

bool operator==(const Answer& a, const Answer& b) {
  return a.tokens == b.tokens && a.logprobs == b.logprobs;
}

class AdapterEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    backends_ = tests_support::test_backends();
    tests_support::TinyModelOptions options;
    options.tied_output = false;
    const auto model = tests_support::tiny_model(options, backend());
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
    for (const uint64_t seed : {1U, 2U}) {
      const tests_support::TinyAdapterOptions how = {.rank = 2 + seed, .seed = seed};
      const auto adapter = tests_support::tiny_adapter(*model_, how, backend());
      ASSERT_TRUE(adapter.ok()) << adapter.error().message();
      adapters_.push_back(*adapter);
    }
  }

  backend::Backend& backend() { return *backends_.back().backend; }

  void start(EngineOptions options = {}) {
    engine_.reset();
    options.adapters = adapters_;
    auto engine = Engine::create(model_, backend(), options);
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    engine_ = std::move(*engine);
  }

  static Request request(std::vector<AdapterUse> adapters, int64_t max_tokens = 12) {
    Request out;
    for (TokenId i = 0; i < kPromptTokens; ++i) out.prompt.push_back(3 + i * 37 % 300);
    out.max_tokens = max_tokens;
    out.top_logprobs = 4;
    out.sampling.temperature = 1;
    out.sampling.seed = 5;
    out.sampling.ignore_end_of_generation = true;
    out.adapters = std::move(adapters);
    return out;
  }

  static Answer collect(Stream& stream) {
    Answer answer;
    while (auto event = stream.next(milliseconds(60000))) {
      answer.tokens.insert(answer.tokens.end(), event->tokens.begin(), event->tokens.end());
      for (const TokenLogprob& one : event->logprobs) {
        answer.logprobs.push_back(std::bit_cast<uint32_t>(one.logprob));
        for (const auto& [token, logprob] : one.top) {
          answer.logprobs.push_back(std::bit_cast<uint32_t>(logprob));
        }
      }
      if (event->kind == Event::Kind::kText) continue;
      EXPECT_EQ(event->kind, Event::Kind::kFinished);
      answer.cached = event->usage.cached_tokens;
      return answer;
    }
    ADD_FAILURE() << "no event came";
    return answer;
  }

  Answer ask(Request request) {
    auto stream = engine_->submit(std::move(request));
    EXPECT_TRUE(stream.ok()) << stream.error().message();
    return collect(**stream);
  }

  std::string refusal(std::vector<AdapterUse> adapters) {
    const auto stream = engine_->submit(request(std::move(adapters)));
    return stream.ok() ? "it was accepted" : stream.error().message();
  }

  static std::vector<std::vector<AdapterUse>> choices() {
    return {{}, {{0, 1}}, {{1, 1}}, {{0, 0.5F}}, {{0, 1}, {1, 1}}, {{1, -2}}};
  }

  tests::ScratchDirectory scratch_;
  std::vector<tests_support::NamedBackend> backends_;
  std::shared_ptr<const loader::Model> model_;
  std::vector<std::shared_ptr<const loader::Adapter>> adapters_;
  std::unique_ptr<Engine> engine_;
};

// All at once, one prompt, small steps: chunks and decodes of all kinds share steps.
TEST_F(AdapterEngineTest, AnswersInACrowdAreThoseAlone) {
  EngineOptions options;
  options.idle_prompt_bytes = 0;  // every prompt is computed
  start(options);
  std::vector<Answer> alone;
  for (const auto& choice : choices()) alone.push_back(ask(request(choice, 40)));
  for (size_t i = 0; i < alone.size(); ++i) {
    for (size_t k = 0; k < i; ++k) EXPECT_FALSE(alone[i] == alone[k]) << i << " " << k;
  }
  options.max_step_tokens = 24;
  options.max_sequences = 5;
  options.idle_prompt_bytes = UINT64_MAX;
  options.speculation.lookup = true;
  start(options);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<Stream>> streams;
    for (const auto& choice : choices()) {
      auto stream = engine_->submit(request(choice, 40));
      ASSERT_TRUE(stream.ok()) << stream.error().message();
      streams.push_back(std::move(*stream));
    }
    for (size_t i = 0; i < streams.size(); ++i) {
      EXPECT_TRUE(collect(*streams[i]) == alone[i]) << "round " << round << " choice " << i;
    }
  }
}

TEST_F(AdapterEngineTest, AnEngineWithAdaptersAnswersOthersAsOneWithout) {
  start();
  const Answer with = ask(request({}));
  auto plain = Engine::create(model_, backend(), {});
  ASSERT_TRUE(plain.ok());
  engine_ = std::move(*plain);
  EXPECT_TRUE(ask(request({})) == with);
  EXPECT_NE(refusal({{0, 1}}).find("there is no adapter number 0"), std::string::npos);
}

TEST_F(AdapterEngineTest, ComputedPromptsAreFoundByTheSameAdaptersOnly) {
  start();
  for (const auto& choice : choices()) {
    const Answer cold = ask(request(choice));
    EXPECT_EQ(cold.cached, 0) << "found what other adapters computed";
    const Answer warm = ask(request(choice));
    EXPECT_EQ(warm.cached, kPageTokensOfPrompt);
    EXPECT_TRUE(warm == cold);
  }
  // What adds nothing shares with those without.
  const Answer off = ask(request({{0, 0}, {1, 0}}));
  EXPECT_EQ(off.cached, kPageTokensOfPrompt);
  EXPECT_TRUE(off == ask(request({})));
}

TEST_F(AdapterEngineTest, PagesOnDiskAreFoundByTheSameAdaptersOnly) {
  start();
  std::vector<Answer> expected;
  for (const auto& choice : choices()) expected.push_back(ask(request(choice)));
  EngineOptions options;
  options.page_directory = scratch_.path();
  const size_t with = 1;  // adapter 0 at 1
  std::optional<Answer> restored;
  for (int i = 0; i < 200 && !restored; ++i) {
    start(options);
    std::this_thread::sleep_for(milliseconds(2 * i));
    const Answer answer = ask(request(choices()[with]));
    EXPECT_TRUE(answer == expected[with]);
    if (engine_->stats().disk.pages_restored > 0) restored = answer;
  }
  ASSERT_TRUE(restored.has_value()) << "nothing was ever found on disk";
  EXPECT_EQ(restored->cached, kPageTokensOfPrompt);
  // The disk knows this prompt with adapter 0 only; the others compute it.
  for (size_t i = 0; i < choices().size(); ++i) {
    if (i == with) continue;
    const Answer answer = ask(request(choices()[i]));
    EXPECT_EQ(answer.cached, 0) << i;
    EXPECT_TRUE(answer == expected[i]) << i;
  }
  // Another adapter in the same place has other pages.
  std::swap(adapters_[0], adapters_[1]);
  start(options);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_TRUE(ask(request({{0, 1}})) == expected[2]);
}

TEST_F(AdapterEngineTest, ChoicesThatCannotBe) {
  start();
  const auto is_refused = [&](std::vector<AdapterUse> adapters, std::string_view why) {
    const std::string message = refusal(std::move(adapters));
    EXPECT_NE(message.find(why), std::string::npos) << message;
  };
  is_refused({{2, 1}}, "there is no adapter number 2");
  is_refused({{-1, 1}}, "there is no adapter number -1");
  is_refused({{1, 1}, {0, 1}}, "named twice or out of order");
  is_refused({{1, 1}, {1, 1}}, "named twice or out of order");
  is_refused({{0, std::nanf("")}}, "must be from -1000 to 1000");
  is_refused({{0, INFINITY}}, "must be from -1000 to 1000");
  is_refused({{0, 1001}}, "must be from -1000 to 1000");
}

}  // namespace
}  // namespace quern::engine
