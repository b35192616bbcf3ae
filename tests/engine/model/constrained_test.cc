// Grammars on the demo model: what comes out parses and matches, alone and in company.
#include <gtest/gtest.h>

#include "config/base/json.h"
#include "config/hardware/profile.h"
#include "engine/grammar/grammar_store.h"
#include "engine/run/engine.h"
#include "kernels/cpu/cpu_backend.h"
#include "models/loader/embedded_model.h"

namespace quern::engine {
namespace {

class ConstrainedModelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (loader::embedded_model("stories260k").empty()) {
      GTEST_SKIP() << "built without the demo model";
    }
    profile_ = hardware::probe_hardware();
    auto backend = cpu::create_cpu_backend({.profile = profile_, .threads = 2});
    ASSERT_TRUE(backend.ok());
    backend_ = std::move(*backend);
    auto file = gguf::GgufFile::from_bytes(loader::embedded_model("stories260k"), "demo");
    ASSERT_TRUE(file.ok());
    auto model = loader::Model::load(*file, *backend_);
    ASSERT_TRUE(model.ok());
    model_ = *model;
    auto engine = Engine::create(model_, *backend_, {});
    ASSERT_TRUE(engine.ok());
    engine_ = std::move(*engine);
    store_ = std::make_unique<grammar::GrammarStore>(model_->tokenizer());
  }

  Request request(uint64_t seed, std::shared_ptr<const grammar::Constraint> constraint) const {
    Request r;
    r.prompt = {*model_->tokenizer().special().bos};
    r.sampling.seed = seed;
    r.sampling.temperature = seed == 0 ? 0.0F : 1.0F;
    r.max_tokens = 400;
    r.constraint = std::move(constraint);
    return r;
  }

  static std::pair<std::string, Event> wait(Stream& stream) {
    std::string text;
    while (true) {
      auto event = stream.next(std::chrono::seconds(60));
      if (!event) return {"timeout", Event{}};
      text += event->text;
      if (event->kind != Event::Kind::kText) return {text, *event};
    }
  }

  hardware::HardwareProfile profile_;
  std::unique_ptr<backend::Backend> backend_;
  std::shared_ptr<const loader::Model> model_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<grammar::GrammarStore> store_;
};

TEST_F(ConstrainedModelTest, SchemaIsObeyed) {
  const auto schema = parse_json(
      R"({"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":12},
          "age":{"type":"integer","minimum":1,"maximum":99},"pet":{"enum":["cat","dog",null]}},
          "required":["name","age","pet"],"additionalProperties":false})");
  const auto constraint = store_->from_schema(*schema);
  ASSERT_TRUE(constraint.ok()) << constraint.error().message();
  std::vector<std::unique_ptr<Stream>> streams;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    auto stream = engine_->submit(request(seed, *constraint));
    ASSERT_TRUE(stream.ok());
    streams.push_back(std::move(*stream));
  }
  std::vector<std::string> together;
  for (auto& stream : streams) {
    const auto [text, end] = wait(*stream);
    together.push_back(text);
    ASSERT_EQ(end.reason, FinishReason::kStop) << text;
    const auto parsed = parse_json(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(parsed->size(), 3U);
    const auto age = (*parsed)["age"].get<int64_t>();
    EXPECT_TRUE(age >= 1 && age <= 99) << text;
  }
  for (uint64_t seed = 0; seed < 8; ++seed) {
    auto stream = engine_->submit(request(seed, *constraint));
    ASSERT_TRUE(stream.ok());
    EXPECT_EQ(wait(**stream).first, together[seed]);
  }
}

TEST_F(ConstrainedModelTest, GrammarIsObeyedFromTheFirstCharacter) {
  const auto constraint = store_->from_gbnf("root ::= \"Once\" [a-z ]{5,60} \".\"");
  ASSERT_TRUE(constraint.ok()) << constraint.error().message();
  for (uint64_t seed = 0; seed < 4; ++seed) {
    auto stream = engine_->submit(request(seed, *constraint));
    ASSERT_TRUE(stream.ok());
    const auto [text, end] = wait(**stream);
    EXPECT_TRUE((*constraint)->matches(text)) << text;
    EXPECT_EQ(end.reason, FinishReason::kStop);
  }
}

TEST_F(ConstrainedModelTest, StoreRemembersWithinItsBounds) {
  grammar::GrammarStore small(model_->tokenizer(), {.max_bytes = 100'000});
  const auto first = small.from_gbnf("root ::= \"a\"");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ((*small.from_gbnf("root ::= \"a\"")).get(), first->get());
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(small.from_gbnf("root ::= \"" + std::to_string(i) + "\"").ok());
  }
  EXPECT_LT(small.size(), 100U);
  EXPECT_FALSE(small.from_gbnf("root ::= (").ok());
  EXPECT_TRUE(small.from_gbnf("root ::= \"b\"").ok());
  EXPECT_EQ(small.from_gbnf("root ::= [^a]{3}", [] { return true; }).ok(), true);
}

}  // namespace
}  // namespace quern::engine
