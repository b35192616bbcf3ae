// Computed prompts on disk with real pages, in every precision of keys and values: a second engine
// answers from them bit for bit as if it had computed them, and precisions do not find each
// other's.
#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "engine/run/engine.h"
#include "tests/engine/store/scratch_directory.h"
#include "tests/support/backends.h"
#include "tests/support/tiny_model.h"

namespace quern::engine {
namespace {

using std::chrono::milliseconds;
namespace fs = std::filesystem;

constexpr int64_t kPromptTokens = 100;  // three whole pages of 32
constexpr int64_t kStoredTokens = 96;

struct Answer {
  std::vector<TokenId> tokens;
  std::vector<uint32_t> logprobs;  // their bits
  int64_t cached = 0;
};

bool operator==(const Answer& a, const Answer& b) {
  return a.tokens == b.tokens && a.logprobs == b.logprobs;
}

class StoredPagesTest : public testing::TestWithParam<ops::KvFormat> {
 protected:
  void SetUp() override {
    tests_support::TinyModelOptions options;
    options.head_dim = 64;  // whole blocks of q8_0 and q4_0
    options.n_heads = 2;
    options.n_embedding = 128;
    backends_ = tests_support::test_backends();
    auto model = tests_support::tiny_model(options, *backends_.back().backend);
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
  }

  void start(ops::KvFormat format, bool on_disk = true) {
    engine_.reset();
    EngineOptions options;
    options.kv_format = format;
    if (on_disk) options.page_directory = scratch_.path();
    auto engine = Engine::create(model_, *backends_.back().backend, options);
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    engine_ = std::move(*engine);
  }

  Answer ask() {
    Request request;
    for (TokenId i = 0; i < kPromptTokens; ++i) request.prompt.push_back(3 + i * 37 % 300);
    request.max_tokens = 12;
    request.top_logprobs = 4;
    request.sampling.temperature = 1;
    request.sampling.seed = 5;
    request.sampling.ignore_end_of_generation = true;
    auto stream = engine_->submit(std::move(request));
    EXPECT_TRUE(stream.ok());
    Answer answer;
    while (auto event = (*stream)->next(milliseconds(60000))) {
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
      break;
    }
    EXPECT_EQ(answer.tokens.size(), 12U);
    return answer;
  }

  // The answer of a new engine once it has identified its model and the disk holds the prompt; each
  // engine before it wrote what it computed when it ended.
  std::optional<Answer> ask_until_restored(ops::KvFormat format, const Answer& expected) {
    for (int i = 0; i < 200; ++i) {
      start(format);
      std::this_thread::sleep_for(milliseconds(2 * i));
      const Answer answer = ask();
      EXPECT_EQ(answer, expected);
      if (engine_->stats().disk.pages_restored > 0) return answer;
    }
    return std::nullopt;
  }

  std::set<fs::path> page_files() const {
    std::set<fs::path> out;
    for (const auto& item : fs::directory_iterator(scratch_.path())) {
      if (item.file_size() > 4096) out.insert(item.path());
    }
    return out;
  }

  tests::ScratchDirectory scratch_;
  std::vector<tests_support::NamedBackend> backends_;
  std::shared_ptr<const loader::Model> model_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(StoredPagesTest, AnEngineAnswersFromAnothersPagesBitForBit) {
  start(GetParam(), false);
  const Answer cold = ask();
  EXPECT_EQ(cold.cached, 0);
  const auto warm = ask_until_restored(GetParam(), cold);
  ASSERT_TRUE(warm.has_value()) << "nothing was ever found on disk";
  EXPECT_EQ(warm->cached, kStoredTokens);
  EXPECT_EQ(engine_->stats().disk.pages_restored, 3U);
  EXPECT_EQ(engine_->stats().disk.pages_damaged, 0U);
}

TEST_P(StoredPagesTest, ADamagedPageIsComputedAnew) {
  start(GetParam(), false);
  const Answer cold = ask();
  ASSERT_TRUE(ask_until_restored(GetParam(), cold).has_value());
  engine_.reset();
  const std::set<fs::path> files = page_files();
  EXPECT_EQ(files.size(), 3U);
  for (const fs::path& path : files) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(3000);
    const int before = file.get();
    file.seekp(3000);
    file.put(static_cast<char>(before ^ 0x11));
  }
  for (int i = 0; i < 200; ++i) {
    start(GetParam());
    std::this_thread::sleep_for(milliseconds(2 * i));
    const Answer answer = ask();
    EXPECT_EQ(answer, cold);
    if (engine_->stats().disk.pages_damaged > 0) {
      EXPECT_EQ(answer.cached, 0);
      return;
    }
  }
  ADD_FAILURE() << "the damage was never seen";
}

// All precisions in one directory: each finds its own pages and no others.
TEST_P(StoredPagesTest, PrecisionsDoNotFindEachOthersPages) {
  start(GetParam(), false);
  const Answer cold = ask();
  std::set<fs::path> before;
  for (const ops::KvFormat other :
       {ops::KvFormat::kF32, ops::KvFormat::kF16, ops::KvFormat::kQ8_0, ops::KvFormat::kQ4_0}) {
    if (other == GetParam()) continue;
    start(other, false);
    const Answer theirs = ask();
    ASSERT_TRUE(ask_until_restored(other, theirs).has_value());
    engine_.reset();
    EXPECT_EQ(page_files().size(), before.size() + 3) << "pages of its own";
    before = page_files();
  }
  const auto warm = ask_until_restored(GetParam(), cold);
  ASSERT_TRUE(warm.has_value());
  EXPECT_EQ(warm->cached, kStoredTokens);
  engine_.reset();
  EXPECT_EQ(page_files().size(), 12U);
}

INSTANTIATE_TEST_SUITE_P(AllPrecisions, StoredPagesTest,
                         testing::Values(ops::KvFormat::kF32, ops::KvFormat::kF16,
                                         ops::KvFormat::kQ8_0, ops::KvFormat::kQ4_0),
                         [](const auto& tested) {
                           return std::string(ops::kv_format_info(tested.param).name);
                         });

}  // namespace
}  // namespace quern::engine
