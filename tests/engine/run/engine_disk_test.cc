// Computed prompts on disk, on the hash model: a second engine with empty pages finds what the
// first one computed, says so, and answers the same; trouble with the disk costs time only.
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <limits>
#include <thread>

#include "engine/run/engine_loop.h"
#include "tests/engine/fakes/fake_runner.h"
#include "tests/engine/store/scratch_directory.h"
#include "tests/engine/vocabulary/letter_vocabulary.h"

namespace quern::engine {
namespace {

using std::chrono::milliseconds;
namespace fs = std::filesystem;

constexpr int32_t kPageTokens = 8;

class EngineDiskTest : public testing::Test {
 protected:
  void start(int32_t n_pages = 100, uint64_t max_bytes = 1 << 20) {
    stop();
    auto runner = std::make_unique<FakeRunner>(letter_vocabulary_size(), n_pages, kPageTokens);
    StoreWorkerOptions worker;
    worker.page_bytes = runner->page_bytes();
    worker.page_tokens = kPageTokens;
    auto store = PageStore::open({scratch_.path(), max_bytes, Log::none(), write_});
    ASSERT_TRUE(store.ok()) << store.error().message();
    auto started = StoreWorker::start(std::move(*store), worker, [this] {
      std::this_thread::sleep_for(identify_time_);
      return std::optional<Digest>(Digest{7});
    });
    ASSERT_TRUE(started.ok());
    store_ = started->get();
    if (identify_time_.count() == 0) store_->wait_idle(milliseconds(5000));
    LoopOptions options;
    options.budget = {.max_running = 4,
                      .max_step_tokens = 16,
                      .max_step_outputs = 8,
                      .n_pages = n_pages,
                      .page_tokens = kPageTokens};
    options.limits = {letter_vocabulary_size(), 160};
    auto loop = EngineLoop::start(std::move(runner), *tokenizer_, options, std::move(*started));
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(*loop);
  }

  // Ends the engine after everything is written, however slow the disk is.
  void stop() {
    for (int i = 0; loop_ && i < 3; ++i) {
      std::this_thread::sleep_for(milliseconds(20));  // the engine hands over what is left
      store_->wait_idle(milliseconds(60000));
    }
    loop_.reset();
  }

  static Request request(int n_prompt, uint64_t seed = 1) {
    Request r;
    for (int i = 0; i < n_prompt; ++i) {
      r.prompt.push_back(
          byte_token(static_cast<unsigned char>(static_cast<uint64_t>(i) * 31 % 200 + seed)));
    }
    r.max_tokens = 12;
    r.sampling.seed = seed;
    r.sampling.temperature = 1;
    r.sampling.ignore_end_of_generation = true;
    return r;
  }

  struct Answer {
    std::vector<TokenId> tokens;
    Event end;
  };
  static Answer read_all(Stream& stream) {
    Answer answer;
    while (auto event = stream.next(milliseconds(20000))) {
      if (event->kind != Event::Kind::kText) {
        answer.end = std::move(*event);
        break;
      }
      answer.tokens.insert(answer.tokens.end(), event->tokens.begin(), event->tokens.end());
    }
    return answer;
  }
  Answer ask(const Request& request) {
    auto stream = loop_->submit(request);
    EXPECT_TRUE(stream.ok());
    return stream.ok() ? read_all(**stream) : Answer();
  }

  std::vector<fs::path> pages() const {
    std::vector<fs::path> out;
    for (const auto& item : fs::directory_iterator(scratch_.path())) out.push_back(item.path());
    return out;
  }

  tests::ScratchDirectory scratch_;
  std::function<ssize_t(int, const void*, size_t)> write_;
  milliseconds identify_time_{0};
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_ = letter_tokenizer();
  StoreWorker* store_ = nullptr;  // of loop_
  std::unique_ptr<EngineLoop> loop_;
};

TEST_F(EngineDiskTest, ARestartFindsWhatWasComputed) {
  start();
  const Answer cold = ask(request(61));
  EXPECT_EQ(cold.end.usage.cached_tokens, 0);
  stop();
  EXPECT_EQ(pages().size(), 7U);
  start();
  const Answer warm = ask(request(61));
  EXPECT_EQ(warm.tokens, cold.tokens);
  EXPECT_EQ(warm.end.usage.cached_tokens, 56);
  EXPECT_EQ(loop_->stats().disk.pages_restored, 7U);
  EXPECT_EQ(loop_->stats().prompt_tokens, 5U);
  const Answer hot = ask(request(61));
  EXPECT_EQ(hot.tokens, cold.tokens);
  EXPECT_EQ(loop_->stats().disk.pages_restored, 7U) << "memory comes first";
  Request foreign = request(61);
  foreign.share = "another key";
  EXPECT_EQ(ask(foreign).end.usage.cached_tokens, 0);
}

TEST_F(EngineDiskTest, ALongerPromptGoesOnWhereTheStoredOneEnds) {
  start();
  ask(request(40));
  start();
  const Answer longer = ask(request(100));
  EXPECT_EQ(longer.end.usage.cached_tokens, 40);
  start();
  EXPECT_EQ(ask(request(100)).end.usage.cached_tokens, 96);
  for (const fs::path& page : pages()) fs::remove(page);
  start();
  EXPECT_EQ(ask(request(100)).tokens, longer.tokens);
}

TEST_F(EngineDiskTest, DamageIsComputedAnew) {
  start();
  const Answer cold = ask(request(61));
  stop();
  for (const fs::path& page : pages()) {
    std::fstream file(page, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(100);
    file.put('\xEE');
  }
  start();
  const Answer again = ask(request(61));
  EXPECT_EQ(again.tokens, cold.tokens);
  EXPECT_EQ(again.end.usage.cached_tokens, 0);
  stop();
  start();
  EXPECT_EQ(ask(request(61)).end.usage.cached_tokens, 56) << "written again, whole";
}

TEST_F(EngineDiskTest, AFullDiskChangesNoAnswer) {
  start();
  const Answer cold = ask(request(61));
  stop();
  for (const fs::path& page : pages()) fs::remove(page);
  write_ = [](int, const void*, size_t) -> ssize_t {
    errno = ENOSPC;
    return -1;
  };
  start();
  EXPECT_EQ(ask(request(61)).tokens, cold.tokens);
  store_->wait_idle(milliseconds(5000));
  EXPECT_EQ(ask(request(61)).tokens, cold.tokens);
  EXPECT_GT(loop_->stats().disk.writes_failed, 0U);
  stop();
  EXPECT_TRUE(pages().empty());
}

TEST_F(EngineDiskTest, TwoEnginesShareADirectory) {
  start();
  const Answer cold = ask(request(61));
  auto first = std::move(loop_);
  const StoreWorker* first_store = store_;
  for (int i = 0; i < 500 && first_store->counters().saved < 7; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  start();
  const Answer second = ask(request(61));
  EXPECT_EQ(second.tokens, cold.tokens);
  EXPECT_EQ(second.end.usage.cached_tokens, 56);
}

TEST_F(EngineDiskTest, NothingOfASpoiltPromptIsStored) {
  auto runner = std::make_unique<FakeRunner>(letter_vocabulary_size(), 100, kPageTokens);
  runner->after_row = [](std::span<const int32_t>, std::span<float> row) {
    row[3] = std::numeric_limits<float>::quiet_NaN();
  };
  StoreWorkerOptions worker;
  worker.page_bytes = runner->page_bytes();
  worker.page_tokens = kPageTokens;
  auto store = PageStore::open({scratch_.path(), 1 << 20, Log::none(), nullptr});
  ASSERT_TRUE(store.ok());
  auto started = StoreWorker::start(std::move(*store), worker,
                                    [] { return std::optional<Digest>(Digest{7}); });
  ASSERT_TRUE(started.ok());
  store_ = started->get();
  store_->wait_idle(milliseconds(5000));
  LoopOptions options;
  options.budget = {.max_running = 4,
                    .max_step_tokens = 16,
                    .max_step_outputs = 8,
                    .n_pages = 100,
                    .page_tokens = kPageTokens};
  options.limits = {letter_vocabulary_size(), 160};
  loop_ =
      std::move(*EngineLoop::start(std::move(runner), *tokenizer_, options, std::move(*started)));
  EXPECT_EQ(ask(request(61)).end.kind, Event::Kind::kFailed);
  stop();
  EXPECT_TRUE(pages().empty());
}

TEST_F(EngineDiskTest, WithoutRoomForItTheStoredPromptIsComputed) {
  start();
  const Answer cold = ask(request(100));
  start(15);  // as many pages as one context
  EXPECT_EQ(ask(request(100)).tokens, cold.tokens);
  std::vector<std::unique_ptr<Stream>> streams;
  for (uint64_t seed = 1; seed < 6; ++seed) {
    streams.push_back(std::move(*loop_->submit(request(100, seed))));
  }
  EXPECT_EQ(read_all(*streams[0]).tokens, cold.tokens);
}

TEST_F(EngineDiskTest, RequestsDoNotWaitForTheModelToBeIdentified) {
  identify_time_ = milliseconds(2000);
  start();
  const auto begin = std::chrono::steady_clock::now();
  ask(request(61));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(1500));
}

TEST_F(EngineDiskTest, ManyClientsLeavingAndStayingWhileTheDiskReads) {
  start();
  std::vector<Answer> cold;
  for (uint64_t seed = 1; seed <= 8; ++seed) cold.push_back(ask(request(90, seed)));
  for (int round = 0; round < 3; ++round) {
    start(round == 2 ? 30 : 100);
    std::vector<std::unique_ptr<Stream>> streams;
    for (uint64_t i = 0; i < 24; ++i) {
      streams.push_back(std::move(*loop_->submit(request(90, i % 8 + 1))));
      if (i % 3 == 1) streams.back().reset();
    }
    for (size_t i = 0; i < streams.size(); ++i) {
      if (!streams[i]) continue;
      EXPECT_EQ(read_all(*streams[i]).tokens, cold[i % 8].tokens) << i;
    }
    loop_->drain(std::chrono::steady_clock::now() + std::chrono::seconds(20));
    const EngineStats stats = loop_->stats();
    EXPECT_EQ(stats.requests_accepted, 24U);
    EXPECT_EQ(stats.requests_accepted, stats.requests_finished + stats.requests_cancelled);
    EXPECT_EQ(stats.requests_failed, 0U);
    EXPECT_EQ(stats.kv_pages_used, 0);
    // How much was restored is a matter of timing; ARestartFindsWhatWasComputed counts it.
  }
}

}  // namespace
}  // namespace quern::engine
