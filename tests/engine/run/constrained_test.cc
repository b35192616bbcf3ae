// Grammars in the engine: the text matches, company and preemption change nothing, what cannot be
// permitted fails closed, and the end is where the grammar says.
#include <gtest/gtest.h>

#include "engine/grammar/gbnf.h"
#include "engine/grammar/json_schema.h"
#include "engine/run/admission.h"
#include "engine/run/engine_core.h"
#include "tests/engine/fakes/fake_runner.h"
#include "tests/engine/vocabulary/letter_vocabulary.h"

namespace quern::engine {
namespace {

using ConstraintPointer = std::shared_ptr<const grammar::Constraint>;

class ConstrainedTest : public testing::Test {
 protected:
  static constexpr int64_t kContext = 400;

  void start(int32_t max_running, int32_t n_pages) {
    runner_ = std::make_unique<FakeRunner>(letter_vocabulary_size(), n_pages, 8);
    core_ = std::make_unique<EngineCore>(*runner_, Budget{max_running, 16, max_running, n_pages, 8},
                                         letter_vocabulary_size());
  }

  ConstraintPointer compiled(grammar::Grammar& grammar) const {
    auto automaton = grammar::compile(grammar);
    EXPECT_TRUE(automaton.ok());
    auto made = grammar::Constraint::create(std::move(automaton).value(),
                                            grammar::TokenTrie::build(*tokenizer_));
    EXPECT_TRUE(made.ok());
    return *made;
  }
  ConstraintPointer gbnf(const std::string& text) const {
    grammar::Budget budget;
    grammar::Grammar grammar(budget);
    EXPECT_TRUE(grammar::parse_gbnf(text, grammar).ok());
    return compiled(grammar);
  }
  ConstraintPointer schema(const std::string& text) const {
    grammar::Budget budget;
    grammar::Grammar grammar(budget);
    EXPECT_TRUE(grammar::parse_json_schema(*parse_json(text), grammar).ok());
    return compiled(grammar);
  }

  std::shared_ptr<EventQueue> submit(Request request) {
    auto events = std::make_shared<EventQueue>(1 << 20);
    core_->accept({std::make_unique<Sequence>(std::move(request), *tokenizer_, kContext,
                                              std::chrono::steady_clock::now()),
                   events});
    return events;
  }

  Request request(uint64_t seed, ConstraintPointer constraint, bool show_prompt = true) const {
    Request r;
    r.prompt = {kBos};
    if (show_prompt) r.prompt.push_back(byte_token('x'));
    r.sampling.seed = seed;
    r.sampling.temperature = 1.0F;
    r.max_tokens = 300;
    r.constraint = std::move(constraint);
    return r;
  }

  void run_all() {
    for (int i = 0; i < 20000 && !core_->idle(); ++i) core_->step();
    ASSERT_TRUE(core_->idle());
  }

  struct Answer {
    std::string text;
    Event end;
  };
  static Answer collect(EventQueue& events) {
    Answer answer;
    while (auto event = events.next(std::chrono::milliseconds(0))) {
      answer.text += event->text;
      if (event->kind != Event::Kind::kText) answer.end = std::move(*event);
    }
    return answer;
  }
  Answer alone(Request r) {
    start(4, 200);
    const auto events = submit(std::move(r));
    run_all();
    return collect(*events);
  }

  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_ = letter_tokenizer();
  std::unique_ptr<FakeRunner> runner_;
  std::unique_ptr<EngineCore> core_;
};

TEST_F(ConstrainedTest, TextMatchesAndEndsWithoutAnEndToken) {
  const ConstraintPointer constraint = gbnf("root ::= (\"hello\" | \"world\") [a-z]{3} \".\"");
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Answer answer = alone(request(seed, constraint, seed % 2 == 0));
    EXPECT_TRUE(constraint->matches(answer.text)) << answer.text;
    EXPECT_EQ(answer.end.kind, Event::Kind::kFinished);
    EXPECT_EQ(answer.end.reason, FinishReason::kStop);
  }
}

TEST_F(ConstrainedTest, OptionalTailsEndByTheModel) {
  const ConstraintPointer constraint = gbnf("root ::= \"a\" \"b\"{0,300}");
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Request r = request(seed, constraint);
    r.sampling.logit_bias = {{kEos, 4.0F}};
    const Answer answer = alone(std::move(r));
    EXPECT_EQ(answer.end.reason, FinishReason::kStop);
    EXPECT_TRUE(constraint->matches(answer.text)) << answer.text;
  }
}

TEST_F(ConstrainedTest, TheEndTokenWaitsForTheGrammar) {
  Request r = request(1, gbnf("root ::= [a-z]{40}"));
  r.sampling.logit_bias = {{kEos, 1000.0F}};
  const Answer answer = alone(std::move(r));
  EXPECT_EQ(answer.text.size(), 40U);
}

TEST_F(ConstrainedTest, LengthCutsAndSaysSo) {
  Request r = request(1, gbnf("root ::= [a-z]{200}"));
  r.max_tokens = 5;
  const Answer answer = alone(std::move(r));
  EXPECT_EQ(answer.end.reason, FinishReason::kLength);
}

TEST_F(ConstrainedTest, StopStringsStillEnd) {
  Request r = request(1, gbnf("root ::= \"abSTOPcd\""));
  r.stop = {"STOP"};
  const Answer answer = alone(std::move(r));
  EXPECT_EQ(answer.text, "ab");
  EXPECT_EQ(answer.end.matched_stop, "STOP");
}

TEST_F(ConstrainedTest, NothingPermittedFailsClosed) {
  Request r = request(1, gbnf("root ::= \"ab\""));
  r.sampling.logit_bias = {{byte_token('b'), -std::numeric_limits<float>::infinity()}};
  const Answer answer = alone(std::move(r));
  ASSERT_EQ(answer.end.kind, Event::Kind::kFailed);
  EXPECT_NE(answer.end.error->message().find("no token is left"), std::string::npos);
  // Nesting beyond the limit: no token is permitted any more, or the text closes in time.
  const Answer deep = alone(request(2, gbnf("root ::= \"(\" root \")\" | \"x\"")));
  EXPECT_TRUE(deep.end.reason == FinishReason::kStop || deep.end.kind == Event::Kind::kFailed);
}

TEST_F(ConstrainedTest, GreedyObeysToo) {
  Request r = request(1, schema(R"({"enum":["red","green","blue"]})"));
  r.sampling.temperature = 0;
  r.top_logprobs = 2;
  const Answer answer = alone(std::move(r));
  EXPECT_TRUE(answer.text == "\"red\"" || answer.text == "\"green\"" || answer.text == "\"blue\"");
}

TEST_F(ConstrainedTest, CompanyAndPreemptionChangeNothing) {
  const ConstraintPointer constraints[] = {
      schema(
          R"({"type":"object","properties":{"name":{"type":"string","maxLength":30},"tags":{"type":"array","items":{"enum":["a","b"]},"maxItems":4}},"required":["name","tags"]})"),
      gbnf("root ::= [a-z]{20,60} \".\""), nullptr};
  const auto make = [&](uint64_t seed) { return request(seed, constraints[seed % 3]); };
  std::vector<std::string> expected;
  for (uint64_t seed = 0; seed < 12; ++seed) expected.push_back(alone(make(seed)).text);
  start(6, 60);  // too few pages for six long answers
  std::vector<std::shared_ptr<EventQueue>> queues;
  for (uint64_t seed = 0; seed < 12; ++seed) queues.push_back(submit(make(seed)));
  run_all();
  for (uint64_t seed = 0; seed < 12; ++seed) {
    EXPECT_EQ(collect(*queues[seed]).text, expected[seed]) << seed;
  }
  EXPECT_GT(core_->counters().preemptions, 0U);
}

TEST_F(ConstrainedTest, CannotIgnoreTheEnd) {
  Request r = request(1, gbnf("root ::= \"a\""));
  r.sampling.ignore_end_of_generation = true;
  const Status status = validate_request(r, {letter_vocabulary_size(), kContext});
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message().find("leave one of the two out"), std::string::npos);
}

}  // namespace
}  // namespace quern::engine
