// Grammars and schemas made to hurt: each ends with a sentence or a bounded amount of work.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "engine/grammar/mask_worker.h"
#include "tests/engine/grammar/grammar_fixture.h"

namespace quern::grammar {
namespace {

using ::testing::HasSubstr;

std::string repeated(std::string_view text, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

TEST(HostileTest, DeepGroups) {
  const std::string deep = "root ::= " + repeated("(", 60000) + "\"a\"" + repeated(")*", 60000);
  EXPECT_THAT(outcome(from_gbnf(deep)), HasSubstr("nested deeper than 256"));
  const std::string allowed = "root ::= " + repeated("(", 250) + "\"a\"" + repeated(")*", 250);
  const auto built = from_gbnf(allowed);
  ASSERT_TRUE(built.ok()) << outcome(built);
  EXPECT_TRUE((*built)->matches("aaa"));
  const std::string counted =
      "root ::= " + repeated("(", 200) + "\"a\"" + repeated("){2,100000}", 200);
  const auto loops = from_gbnf(counted);
  if (loops.ok()) {
    EXPECT_FALSE((*loops)->matches("aaa"));
  }
}

TEST(HostileTest, LongSource) {
  EXPECT_THAT(outcome(from_gbnf("root ::= " + repeated("\"aaaaaaaa\" | ", 100000) + "\"b\"")),
              HasSubstr("too long"));
  EXPECT_THAT(outcome(from_gbnf("root ::= " + repeated("[^a] ", 30000) + "\"b\"")),
              HasSubstr("too large"));
  // Within all limits, if only just.
  EXPECT_EQ(outcome(from_gbnf("root ::= " + repeated("\"ab\" ", 40000))), "ok");
}

TEST(HostileTest, LongChains) {
  std::string tail;
  std::string nested;
  for (int i = 0; i < 5000; ++i) {
    const std::string name = i == 0 ? "root" : "r" + std::to_string(i);
    tail += name + " ::= r" + std::to_string(i + 1) + "\n";
    nested +=
        name + " ::= r" + std::to_string(i + 1) + " [0-9] | r" + std::to_string(i + 1) + " [a-z]\n";
  }
  const auto chain = from_gbnf(tail + "r5000 ::= \"x\"\n");
  ASSERT_TRUE(chain.ok()) << outcome(chain);
  EXPECT_TRUE((*chain)->matches("x"));
  // 2 to the power of 5000 stacks before the first character.
  EXPECT_THAT(outcome(from_gbnf(nested + "r5000 ::= \"x\"\n")), HasSubstr("too many ways"));
}

TEST(HostileTest, ExplodingReadingsAreNotPermitted) {
  // After n letters there are 2^n stacks.
  const auto built = from_gbnf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"d\"");
  ASSERT_TRUE(built.ok()) << outcome(built);
  EXPECT_TRUE((*built)->matches("aaadbcb"));
  Matcher matcher(*built, false);
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    const auto mask = matcher.mask();
    ASSERT_TRUE(mask.ok());
    if (!(*mask)->permits(1 + 'a')) return;  // still permits 'd'
    status = matcher.accept(1 + 'a');
  }
  FAIL() << "2^100 readings were permitted";
}

TEST(HostileTest, MaskWorkIsBounded) {
  Limits limits;
  limits.max_mask_work = 1000;
  const auto built = from_gbnf("root ::= ([a-z] | [a-y] \"b\" | [^q])* \"!\"", limits);
  ASSERT_TRUE(built.ok()) << outcome(built);
  Matcher matcher(*built, false);
  const auto first = matcher.mask();
  // Asking again gives the same answer, though the table is filled by now.
  const auto second = matcher.mask();
  EXPECT_EQ(outcome(first), outcome(second));
}

TEST(HostileTest, CompilationCanBeCancelled) {
  const std::string source = "root ::= " + repeated("[^a]{3} | ", 9000) + "\"b\"";
  Budget stopped({}, Budget::Clock::time_point::max(), [] { return true; });
  Grammar grammar(stopped);
  Status status = parse_gbnf(source, grammar);
  if (status.ok()) status = compile(grammar).ok() ? ok_status() : Status(compile(grammar).error());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind(), ErrorKind::kCancelled);

  Budget late({}, Budget::Clock::now() - std::chrono::seconds(1));
  Grammar second(late);
  status = parse_gbnf(source, second);
  if (status.ok()) {
    const auto built = compile(second);
    status = built.ok() ? ok_status() : Status(built.error());
  }
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr("takes too long"));
}

TEST(HostileTest, Schemas) {
  struct Case {
    std::string schema;
    const char* message;
  };
  std::string big_enum = "{\"enum\":[";
  for (int i = 0; i < 100000; ++i) big_enum += "\"value" + std::to_string(i) + "\",";
  big_enum += "0]}";
  const Case cases[] = {
      {R"({"$ref":"#"})", "no text of finite length"},
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}})",
       "no text of finite length"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "left recursion"},
      {R"({"allOf":[{"$ref":"#"}]})", "refers to itself"},
      {R"({"$ref":"#/$defs/nope"})", "does not exist"},
      {R"({"$ref":"http://example.com/schema"})", "nothing is fetched"},
      {R"({"type":"string","minLength":5,"maxLength":4})", "above maxLength"},
      {R"({"type":"string","maxLength":1e300})", "at most 2000000000"},
      {R"({"type":"array","minItems":-1})", "whole number"},
      {R"({"type":"integer","minimum":5,"maximum":4})", "leaves no whole number"},
      {R"({"type":"number","multipleOf":1e-300})", "whole numbers only"},
      {R"({"type":"number","multipleOf":0})", "above 0"},
      {R"({"type":"string","pattern":"^+[a-z]$"})", "nothing before '+'"},
      {R"({"type":"string","pattern":"^{2}x"})", "nothing before '{'"},
      {R"({"type":"string","pattern":"(?<=a)b"})", "look-around"},
      {R"({"type":"string","pattern":"(a)\\1"})", "back reference"},
      {R"({"type":"string","pattern":"\\bword"})", "word border"},
      {R"({"type":"string","pattern":"\\p{L}"})", "Unicode property"},
      {"{\"type\":\"string\",\"pattern\":\"" + repeated("(", 1000) + "\"}", "nested deeper"},
      {big_enum, "too large"},
      {R"({"type":"object","properties":{"a":false},"required":["a"]})",
       "no text of finite length"},
  };
  for (const Case& one : cases) {
    const auto built = from_schema_text(one.schema);
    EXPECT_FALSE(built.ok()) << one.schema.substr(0, 100);
    EXPECT_THAT(outcome(built), HasSubstr(one.message)) << one.schema.substr(0, 100);
  }
}

// Three thousand optional properties: each may be the next one, which is more than is followed. The
// answer ends with an error there, it does not go on without the schema.
TEST(HostileTest, TooManyOptionalProperties) {
  std::string many = "{\"type\":\"object\",\"properties\":{";
  for (int i = 0; i < 3000; ++i) many += "\"p" + std::to_string(i) + "\":{\"type\":\"null\"},";
  many += "\"z\":{}}}";
  const auto built = from_schema_text(many);
  if (!built.ok()) {
    EXPECT_THAT(outcome(built), HasSubstr("too many ways"));
    return;
  }
  Matcher matcher(*built, false);
  Status status = ok_status();
  for (const char c : std::string("{\"p2999\"")) {
    const auto mask = matcher.mask();
    status = mask.ok() ? matcher.accept(1 + c) : Status(mask.error());
    if (!status.ok()) break;
  }
  ASSERT_FALSE(status.ok());
}

TEST(HostileTest, LargeButReasonableSchemas) {
  const char* const fine[] = {
      R"({"type":"string","maxLength":1000000000})",
      R"({"type":"array","items":{"type":"string","maxLength":2000},"maxItems":1000000})",
      R"({"type":"string","pattern":"^(a+)+$"})",
      R"({"type":"string","pattern":"^(a|a)*b$"})",
      R"({"type":"array","minItems":100000,"items":{"type":"array","minItems":100000}})",
  };
  for (const char* schema : fine) EXPECT_EQ(outcome(from_schema_text(schema)), "ok") << schema;
  const auto ambiguous = from_schema_text(fine[2]);
  EXPECT_TRUE((*ambiguous)->matches("\"" + std::string(3000, 'a') + "\""));
  EXPECT_FALSE((*ambiguous)->matches("\"" + std::string(3000, 'a') + "b\""));
}

TEST(HostileTest, TablesStayBounded) {
  Limits limits;
  limits.max_table_bytes = 200'000;
  // Every depth is a state of its own.
  const auto built = from_gbnf("root ::= (\"(\" root \")\" | \"[\" root \"]\" | \"x\")*", limits);
  ASSERT_TRUE(built.ok()) << outcome(built);
  Matcher matcher(*built, false);
  uint64_t random = 1;
  int open = 0;
  for (int i = 0; i < 20000; ++i) {
    random = random * 6364136223846793005U + 1442695040888963407U;
    const auto mask = matcher.mask();
    ASSERT_TRUE(mask.ok());
    char c = "([x)]"[(random >> 33) % 5];
    if (!(*mask)->permits(1 + c)) c = 'x';
    open += c == '(' || c == '[' ? 1 : 0;
    ASSERT_TRUE(matcher.accept(1 + c).ok());
    ASSERT_LT((*built)->bytes(), 2'000'000U);
  }
  EXPECT_GT(open, 1000);
}

TEST(HostileTest, ManySequencesShareOneConstraint) {
  const auto built = from_schema_text(
      R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"array","items":{}}}})");
  ASSERT_TRUE(built.ok()) << outcome(built);
  const std::string text = R"({"a": "hello", "b": [1, {"c": [true]}, "x"]})";
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      MaskWorker worker;
      for (int round = 0; round < 20; ++round) {
        Matcher matcher(*built, false);
        for (const char c : text) {
          matcher.prefetch(worker);
          const auto mask = matcher.mask();
          const TokenId token = 1 + static_cast<unsigned char>(c);
          if (!mask.ok() || !(*mask)->permits(token) || !matcher.accept(token).ok()) ++wrong;
        }
        if (!matcher.complete()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace quern::grammar
