// Speculation on real weights: text and every bit of every log-probability are those without, alone
// and in a crowd, with the text so far, the same model or an unrelated one as the source of
// guesses.
#include <gtest/gtest.h>

#include <bit>

#include "config/hardware/profile.h"
#include "engine/grammar/gbnf.h"
#include "engine/run/engine.h"
#include "engine/run/speculation_setup.h"
#include "kernels/cpu/cpu_backend.h"
#include "models/loader/embedded_model.h"
#include "tests/support/tiny_model.h"

namespace quern::engine {
namespace {

using std::chrono::milliseconds;

struct Answer {
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> logprobs;
  Event end;
};

class ModelSpeculationTest : public testing::Test {
 protected:
  void SetUp() override {
    if (loader::embedded_model("stories260k").empty()) {
      GTEST_SKIP() << "built without the demo model";
    }
    auto backend = cpu::create_cpu_backend({.profile = hardware::probe_hardware(), .threads = 2});
    ASSERT_TRUE(backend.ok()) << backend.error().message();
    backend_ = std::move(*backend);
    auto file = gguf::GgufFile::from_bytes(loader::embedded_model("stories260k"), "demo");
    ASSERT_TRUE(file.ok());
    auto model = loader::Model::load(*file, *backend_);
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
  }

  // A random model with the demo model's vocabulary.
  std::shared_ptr<const loader::Model> stranger() {
    tests_support::TinyModelOptions options;
    const int64_t n_vocab = model_->facts().n_vocab;
    const gguf::Metadata& from = model_->file().metadata();
    options.edit_metadata = [&](gguf::Metadata& metadata) {
      for (const auto& [key, value] : from.entries()) {
        if (key.starts_with("tokenizer.")) metadata.set(key, value);
      }
    };
    options.edit_tensors = [&](std::vector<tests_support::TensorPlan>& tensors) {
      for (tests_support::TensorPlan& tensor : tensors) {
        for (uint64_t& dim : tensor.dims) {
          if (dim == tests_support::kTinyVocabSize) dim = static_cast<uint64_t>(n_vocab);
        }
      }
    };
    auto made = tests_support::tiny_model(options, *backend_);
    EXPECT_TRUE(made.ok()) << made.error().message();
    return made.ok() ? *made : nullptr;
  }

  void start(const EngineOptions& options) {
    engine_.reset();
    auto engine = Engine::create(model_, *backend_, options);
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    engine_ = std::move(*engine);
  }

  Request request(uint64_t seed) const {
    const char* const beginnings[] = {
        "", "One day, a little", "Tim and Sue went to the park. They",
        "The cat sat. The cat ran. The cat sat. The cat ran. The cat sat. The cat"};
    Request r;
    r.prompt = {*model_->tokenizer().special().bos};
    const auto text =
        model_->tokenizer().encode(beginnings[seed % 4], tokenizer::SpecialParsing::kText);
    r.prompt.insert(r.prompt.end(), text->begin(), text->end());
    r.sampling.temperature = seed % 2 == 0 ? 0.0F : 0.8F;
    r.sampling.top_p = seed % 4 == 1 ? 0.9F : 1.0F;
    r.sampling.repetition_penalty = seed % 3 == 2 ? 1.2F : 1.0F;
    r.sampling.presence_penalty = seed % 5 == 4 ? 0.5F : 0.0F;
    r.sampling.seed = seed;
    r.sampling.ignore_end_of_generation = seed != 7;
    r.max_tokens = 40 + static_cast<int64_t>(seed) * 5 + longer_by_;
    r.top_logprobs = 4;
    if (seed == 7) r.constraint = constraint_;
    return r;
  }

  Answer collect(Stream& stream) {
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
        return answer;
      }
      answer.text += event->text;
      answer.tokens.insert(answer.tokens.end(), event->tokens.begin(), event->tokens.end());
      answer.logprobs.insert(answer.logprobs.end(), event->logprobs.begin(), event->logprobs.end());
    }
  }

  std::vector<Answer> ask(int n_at_once) {
    std::vector<Answer> answers;
    std::vector<std::unique_ptr<Stream>> streams;
    for (uint64_t seed = 0; seed < 8; ++seed) {
      auto stream = engine_->submit(request(seed));
      EXPECT_TRUE(stream.ok()) << stream.error().message();
      streams.push_back(std::move(*stream));
      if (static_cast<int>(streams.size()) < n_at_once) continue;
      for (const auto& one : streams) answers.push_back(collect(*one));
      streams.clear();
    }
    return answers;
  }

  static void expect_same(const std::vector<Answer>& a, const std::vector<Answer>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      SCOPED_TRACE("request " + std::to_string(i));
      EXPECT_EQ(a[i].text, b[i].text);
      EXPECT_EQ(a[i].tokens, b[i].tokens);
      EXPECT_EQ(a[i].end.reason, b[i].end.reason);
      EXPECT_EQ(a[i].end.usage.completion_tokens, b[i].end.usage.completion_tokens);
      ASSERT_EQ(a[i].logprobs.size(), b[i].logprobs.size());
      for (size_t k = 0; k < a[i].logprobs.size(); ++k) {
        EXPECT_EQ(std::bit_cast<uint32_t>(a[i].logprobs[k].logprob),
                  std::bit_cast<uint32_t>(b[i].logprobs[k].logprob));
        EXPECT_EQ(a[i].logprobs[k].top, b[i].logprobs[k].top);
      }
    }
  }

  void make_constraint() {
    grammar::Budget budget;
    grammar::Grammar grammar(budget);
    ASSERT_TRUE(grammar::parse_gbnf("root ::= (\" \" [a-z]{2,6}){8} \".\"", grammar).ok());
    auto automaton = grammar::compile(grammar);
    ASSERT_TRUE(automaton.ok());
    auto made = grammar::Constraint::create(std::move(automaton).value(),
                                            grammar::TokenTrie::build(model_->tokenizer()));
    ASSERT_TRUE(made.ok());
    constraint_ = *made;
  }

  std::unique_ptr<backend::Backend> backend_;
  std::shared_ptr<const loader::Model> model_;
  std::shared_ptr<const grammar::Constraint> constraint_;
  int64_t longer_by_ = 0;  // tokens, all answers
  std::unique_ptr<Engine> engine_;
};

TEST_F(ModelSpeculationTest, AnswersAreBitEqualWithAndWithout) {
  make_constraint();
  start({});
  const std::vector<Answer> expected = ask(1);
  const auto other = stranger();
  ASSERT_NE(other, nullptr);
  struct Variant {
    const char* name;
    SpeculationOptions speculation;
  };
  const Variant variants[] = {
      {"the text", {.lookup = true, .adaptive = false}},
      {"the same model", {.draft_model = model_, .adaptive = false}},
      {"another model", {.draft_model = other, .adaptive = false}},
      {"all, as it pays", {.lookup = true, .draft_model = model_}},
  };
  for (const Variant& variant : variants) {
    for (const int n_at_once : {1, 8}) {
      SCOPED_TRACE(std::string(variant.name) + ", " + std::to_string(n_at_once) + " at once");
      EngineOptions options;
      options.speculation = variant.speculation;
      start(options);
      expect_same(ask(n_at_once), expected);
      engine_->drain(std::chrono::steady_clock::now());
      const EngineStats stats = engine_->stats();
      // As it pays, by measured times, may be never on a busy machine.
      if (!variant.speculation.adaptive) {
        EXPECT_GT(stats.drafted_tokens, 0U);
      }
      if (variant.speculation.draft_model == model_ && !variant.speculation.lookup) {
        EXPECT_EQ(stats.accepted_tokens, stats.drafted_tokens);
        EXPECT_GT(stats.draft_kv_bytes, 0U);
      }
      if (variant.speculation.lookup && !variant.speculation.adaptive) {
        EXPECT_GT(stats.accepted_tokens, 20U);
        EXPECT_LT(stats.accepted_tokens, stats.drafted_tokens);
      }
    }
  }
}

// Ten pages of 32 tokens for eight sequences that want three to five each. Guesses of a stranger
// are wrong, so that all sequences grow side by side until pages run out.
TEST_F(ModelSpeculationTest, AnswersAreBitEqualWhenPagesRunOut) {
  make_constraint();
  longer_by_ = 40;
  start({});
  const std::vector<Answer> expected = ask(1);
  const auto other = stranger();
  ASSERT_NE(other, nullptr);
  for (const auto& draft : {other, model_}) {
    EngineOptions options;
    options.context_tokens = 320;
    options.speculation.draft_model = draft;
    options.speculation.adaptive = false;
    const uint64_t page_bytes =
        graph::KvStorage::bytes_per_page(*model_->weights(), options.kv_format) +
        draft_bytes_per_page(options.speculation);
    options.kv_bytes = 10 * page_bytes;
    start(options);
    expect_same(ask(8), expected);
    EXPECT_GT(engine_->stats().drafted_tokens, 0U);
    if (draft == other) {
      EXPECT_GT(engine_->stats().preemptions, 0U);
    } else {
      EXPECT_GT(engine_->stats().accepted_tokens, 0U);
    }
  }
}

TEST_F(ModelSpeculationTest, MemoryOfTheDraftModelCounts) {
  EngineOptions options;
  options.context_tokens = 512;
  options.speculation.draft_model = model_;
  const uint64_t page_bytes =
      graph::KvStorage::bytes_per_page(*model_->weights(), options.kv_format);
  options.kv_bytes = 20 * page_bytes;  // 16 of the model, and as many of the draft model
  const auto refused = Engine::create(model_, *backend_, options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::kOutOfMemory);
  options.kv_bytes = 32 * page_bytes;
  start(options);
  EXPECT_EQ(engine_->kv_bytes(), options.kv_bytes);
  EXPECT_EQ(engine_->stats().draft_kv_bytes, 16 * page_bytes);
}

TEST_F(ModelSpeculationTest, AnotherVocabularyIsRefusedByItsFirstToken) {
  const auto other = tests_support::tiny_model({}, *backend_);
  ASSERT_TRUE(other.ok());
  EngineOptions options;
  options.speculation.draft_model = *other;
  const auto refused = Engine::create(model_, *backend_, options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::kInvalidInput);
  const tokenizer::Tokenizer& ours = model_->tokenizer();
  const tokenizer::Tokenizer& theirs = (*other)->tokenizer();
  TokenId first = 0;
  while (ours.text(first) == theirs.text(first) && ours.kind(first) == theirs.kind(first)) ++first;
  EXPECT_NE(refused.error().message().find("token " + std::to_string(first) + " is \"" +
                                           std::string(theirs.text(first)) + "\" there and \"" +
                                           std::string(ours.text(first)) + "\""),
            std::string::npos)
      << refused.error().message();
}

}  // namespace
}  // namespace quern::engine
