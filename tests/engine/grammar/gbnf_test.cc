// What GBNF text means and which text is refused, with the sentences.
#include "engine/grammar/gbnf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/grammar/grammar_fixture.h"

namespace quern::grammar {
namespace {

using ::testing::HasSubstr;

void expect_language(std::string_view grammar, const std::vector<std::string>& inside,
                     const std::vector<std::string>& outside) {
  const auto constraint = from_gbnf(grammar);
  ASSERT_TRUE(constraint.ok()) << grammar << ": " << constraint.error().message();
  for (const std::string& text : inside) {
    EXPECT_TRUE((*constraint)->matches(text)) << grammar << " <- " << text;
  }
  for (const std::string& text : outside) {
    EXPECT_FALSE((*constraint)->matches(text)) << grammar << " <- " << text;
  }
}

TEST(GbnfTest, Elements) {
  expect_language("root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "y", "yesno", "Yes"});
  expect_language("root ::= [a-c]+ [^x-z\\n]?", {"a", "cab", "abq"}, {"", "x", "az", "a\n"});
  expect_language("root ::= (\"a\" | \"b\" \"c\")* \"d\"?", {"", "d", "abcad"}, {"b", "dd"});
  expect_language("root ::= .{2}", {"ab", "\xC3\xA9x", "\n\n"}, {"a", "abc", "\xC3"});
  expect_language("root ::= \"\\x41\\u00e9\\U0001F600\\\"\\\\\"", {"A\xC3\xA9\xF0\x9F\x98\x80\"\\"},
                  {"A"});
  expect_language("root ::= [\\]\\-^a]", {"]", "-", "^", "a"}, {"b", "\\"});
  expect_language("root ::= [a-]", {"a", "-"}, {"b"});
  expect_language("root ::= \"\"", {""}, {"a"});
  expect_language("root ::= | \"a\"", {"", "a"}, {"aa"});
}

TEST(GbnfTest, CommentsAndLines) {
  expect_language(
      "# head\nroot ::= item # tail\n  \nitem ::=\n  \"a\" |\n  \"b\" (\n \"c\"\n | \"d\" )\r\n",
      {"a", "bc", "bd"}, {"b", "ac"});
}

TEST(GbnfTest, Repetitions) {
  expect_language("root ::= \"a\"{2}", {"aa"}, {"a", "aaa"});
  expect_language("root ::= \"a\" { 1 , 2 } ( \"b\"\n * )", {"aa", "abb"}, {"b", "aaa"});
  expect_language("root ::= \"a\"{2,}", {"aa", "aaaaaaa"}, {"a", ""});
  expect_language("root ::= \"a\"{0,2}", {"", "a", "aa"}, {"aaa"});
  expect_language("root ::= \"ab\"{1,3} \"a\"", {"aba", "ababa", "abababa"}, {"a", "ababababa"});
  expect_language("root ::= (\"a\"*)*", {"", "aaaa"}, {"b"});
  expect_language("root ::= (\"\" | \"a\")*", {"", "aa"}, {"b"});
  expect_language("root ::= \"a\"{0}", {""}, {"a"});
}

// Too large to unroll, so counted on the stack.
TEST(GbnfTest, CountedRepetitions) {
  const std::string a = "a";
  const auto times = [](const std::string& s, size_t n) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += s;
    return out;
  };
  expect_language("root ::= [a-z]{100,200}", {times(a, 100), times(a, 150), times(a, 200)},
                  {times(a, 99), times(a, 201)});
  expect_language("root ::= \"ab\"{300}", {times("ab", 300)}, {times("ab", 299), times("ab", 301)});
  expect_language("root ::= [a-z]{500,}", {times(a, 500), times(a, 900)}, {times(a, 499)});
  expect_language(
      "root ::= ([a-z]{100,120} \",\"){2,150}",
      {times(times(a, 110) + ",", 2), times(times(a, 100) + ",", 150)},
      {times(times(a, 99) + ",", 2), times(a, 110) + ",", times(times(a, 100) + ",", 151)});
  expect_language("root ::= (\"a\"?){0,1000000}", {"", "aaa"}, {"b"});
  expect_language("root ::= (\"a\"? \"b\"?){200,300} \"c\"", {"c", "abababc", "bbc"}, {"", "ac b"});
  expect_language("root ::= ((\"a\" | \"\"){0,500} \"b\"?){0,500}", {"", "aabab"}, {"c"});
}

TEST(GbnfTest, Recursion) {
  expect_language("root ::= \"(\" root \")\" | \"x\"", {"x", "((x))"}, {"(x", "()", "x)"});
  expect_language("root ::= \"a\" root | \"b\"", {"b", "aaab"}, {"a", "ba"});
  expect_language("root ::= a a a a\na ::= \"a\" | \"b\" root | \"\"", {"", "aaaa", "bba"}, {"c"});
}

TEST(GbnfTest, RightRecursionDoesNotGrowTheStack) {
  Limits limits;
  limits.max_stack = 4;
  const auto constraint =
      from_gbnf("root ::= \"a\" root | \"b\" tail\ntail ::= root | \"\"", limits);
  ASSERT_TRUE(constraint.ok()) << outcome(constraint);
  EXPECT_TRUE((*constraint)->matches(std::string(5000, 'a') + std::string(5000, 'b')));
}

TEST(GbnfTest, DepthIsBounded) {
  Limits limits;
  limits.max_stack = 10;
  const auto constraint = from_gbnf("root ::= \"(\" root \")\" | \"x\"", limits);
  ASSERT_TRUE(constraint.ok());
  EXPECT_TRUE((*constraint)->matches(std::string(10, '(') + "x" + std::string(10, ')')));
  EXPECT_FALSE((*constraint)->matches(std::string(11, '(') + "x" + std::string(11, ')')));
}

struct Refusal {
  const char* grammar;
  const char* message;
};

TEST(GbnfTest, RefusalsNamePlaceAndReason) {
  const Refusal refusals[] = {
      {"", "no rule 'root'"},
      {"a ::= \"x\"", "no rule 'root'"},
      {"root ::= missing", "line 1, column 10: rule 'missing' is used but not defined"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: rule 'root' is defined twice"},
      {"root ::= \"a", "never closed"},
      {"root ::= [a", "never closed"},
      {"root ::= (\"a\"", "'(' is never closed"},
      {"root ::= \"a\")", "')' without '('"},
      {"root ::= []", "no characters"},
      {"root ::= [z-a]", "reversed"},
      {"root ::= \"\\q\"", "unknown escape"},
      {"root ::= \"\\x4\"", "2 hexadecimal digits"},
      {"root ::= \"\\uD800\"", "no Unicode character"},
      {"root ::= \"\xFF\"", "not valid UTF-8"},
      {"root ::= \"a\"{5,2}", "upper count is below"},
      {"root ::= \"a\"{,}", "expected a count"},
      {"root ::= \"a\"{99999999999}", "count of a repetition is over"},
      {"root ::= \"a\"{2", "expected '}'"},
      {"root ::= *", "unexpected character"},
      {"root = \"a\"", "expected '::='"},
      {"root ::= <think>", "references to tokens"},
      {"root ::= \"a\" }", "unexpected character"},
      {"root ::= root \"a\" | \"b\"", "left recursion: 'root' begins with 'root'"},
      {"root ::= a\na ::= b \"x\"\nb ::= c\nc ::= a \"y\" | \"z\"", "left recursion"},
      {"root ::= opt root \"x\" | \"y\"\nopt ::= \"o\"?", "left recursion"},
      {"root ::= (\"a\"* root)* \"b\"", "left recursion"},
      {"root ::= root", "no text of finite length"},
      {"root ::= \"a\" root", "no text of finite length"},
  };
  for (const Refusal& refusal : refusals) {
    const auto built = from_gbnf(refusal.grammar);
    EXPECT_FALSE(built.ok()) << refusal.grammar;
    EXPECT_THAT(outcome(built), HasSubstr(refusal.message)) << refusal.grammar;
  }
}

// An alternative that cannot be completed is dropped, so that no text runs into it.
TEST(GbnfTest, AlternativesWithoutAnEndAreNotOffered) {
  const auto constraint = from_gbnf("root ::= \"a\" | \"b\" endless\nendless ::= \"c\" endless");
  ASSERT_TRUE(constraint.ok()) << outcome(constraint);
  Matcher matcher(*constraint, false);
  const auto mask = matcher.mask();
  ASSERT_TRUE(mask.ok());
  EXPECT_TRUE((*mask)->permits(1 + 'a'));
  EXPECT_FALSE((*mask)->permits(1 + 'b'));
}

}  // namespace
}  // namespace quern::grammar
