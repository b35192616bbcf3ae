// 64 clients whose prompts carry a marker each, on a model that repeats what it reads through the
// pages of its sequence: a token of somebody else's prompt would be said aloud. Prompts share
// beginnings, pages are few, clients leave at any time and come in groups.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "engine/run/engine_loop.h"
#include "tests/engine/fakes/fake_runner.h"
#include "tests/engine/vocabulary/letter_vocabulary.h"

namespace quern::engine {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMarkerTokens = 12;
constexpr int32_t kPageTokens = 4;
constexpr int32_t kPages = 60;

// Letters that spell the client's number, turn and noise, so that no two markers are alike.
std::vector<TokenId> make_marker(uint32_t client, uint32_t turn) {
  std::vector<TokenId> marker;
  uint64_t number = (uint64_t{client} << 32) + turn;
  for (size_t i = 0; i < kMarkerTokens; ++i, number /= 20) {
    marker.push_back(byte_token(static_cast<unsigned char>('a' + number % 20)));
  }
  return marker;
}

class MarkerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto runner = std::make_unique<FakeRunner>(letter_vocabulary_size(), kPages, kPageTokens);
    // The next token is the one a marker's length ago, as the pages say.
    runner->after_row = [](std::span<const int32_t> tokens, std::span<float> row) {
      for (float& logit : row) logit = 0;
      if (tokens.size() < kMarkerTokens) return;
      row[static_cast<size_t>(tokens[tokens.size() - kMarkerTokens])] = 50;
    };
    LoopOptions options;
    options.budget = {.max_running = 12,
                      .max_step_tokens = 48,
                      .max_step_outputs = 16,
                      .n_pages = kPages,
                      .page_tokens = kPageTokens};
    options.limits = {letter_vocabulary_size(), 200};
    auto loop = EngineLoop::start(std::move(runner), *tokenizer_, options);
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(*loop);
  }

  Request make_request(uint32_t client, uint32_t turn, std::mt19937& random) const {
    Request r;
    r.prompt = {kBos};
    // A system prompt that many share, of several lengths.
    for (auto n = random() % 40; n > 0; --n) r.prompt.push_back(byte_token('Z'));
    const std::vector<TokenId> marker = make_marker(client, turn);
    r.prompt.insert(r.prompt.end(), marker.begin(), marker.end());
    r.max_tokens = 1 + static_cast<int64_t>(random() % 90);
    r.sampling.temperature = 0;
    return r;
  }

  // Reads an answer; how many of its tokens are not the marker's.
  static int foreign_tokens(Stream& stream, const std::vector<TokenId>& marker, int leave_after) {
    int foreign = 0;
    size_t at = 0;
    for (int events = 0; leave_after < 0 || events < leave_after; ++events) {
      const auto event = stream.next(milliseconds(60000));
      if (!event) return 1000;
      for (const TokenId token : event->tokens) foreign += token != marker[at++ % kMarkerTokens];
      if (event->kind == Event::Kind::kFailed) return 2000;
      if (event->kind == Event::Kind::kFinished) return foreign;
    }
    return foreign;
  }

  void client(uint32_t number) {
    std::mt19937 random(number);
    for (uint32_t turn = 0; turn < 12; ++turn) {
      const Request request = make_request(number, turn % 8, random);
      const std::vector<TokenId> marker(request.prompt.end() - kMarkerTokens, request.prompt.end());
      auto streams = loop_->submit_group(std::vector<Request>(random() % 4 == 0 ? 3 : 1, request));
      if (!streams.ok()) {
        ++refused_;
        continue;
      }
      for (const auto& stream : *streams) {
        const int leave_after = random() % 3 == 0 ? static_cast<int>(random() % 5) : -1;
        foreign_ += foreign_tokens(*stream, marker, leave_after);
      }
    }
  }

  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_ = letter_tokenizer();
  std::unique_ptr<EngineLoop> loop_;
  std::atomic<int> foreign_{0};
  std::atomic<int> refused_{0};
};

TEST_F(MarkerTest, NobodySeesAnothersMarker) {
  std::vector<std::thread> clients;
  for (uint32_t number = 1; number <= 64; ++number) {
    clients.emplace_back([this, number] { client(number); });
  }
  for (std::thread& thread : clients) thread.join();
  EXPECT_EQ(foreign_, 0);
  EXPECT_EQ(refused_, 0);
  loop_->drain(std::chrono::steady_clock::now() + std::chrono::seconds(20));
  const EngineStats stats = loop_->stats();
  EXPECT_EQ(stats.kv_pages_used, 0);
  EXPECT_EQ(stats.requests_failed, 0U);
  EXPECT_EQ(stats.requests_accepted, stats.requests_finished + stats.requests_cancelled);
  // The case that the test is for has come up.
  EXPECT_GT(stats.cached_tokens, 1000U);
  EXPECT_GT(stats.kv_pages_evicted, 100U);
  EXPECT_GT(stats.preemptions, 0U);
  EXPECT_GT(stats.requests_cancelled, 50U);
}

}  // namespace
}  // namespace quern::engine
