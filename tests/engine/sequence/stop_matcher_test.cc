// Stop strings: catalogue cases D-04 and random text against a search over the whole text.
#include "engine/sequence/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace quern::engine {
namespace {

struct Outcome {
  std::string text;
  std::string match;
  bool operator==(const Outcome&) const = default;
};

Outcome feed(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(stops);
  Outcome out;
  for (const std::string& piece : pieces) {
    if (matcher.push(piece, out.text)) break;
  }
  if (!matcher.matched()) matcher.finish(out.text);
  out.match = matcher.match();
  return out;
}

TEST(StopMatcher, FindsAcrossAnyBorders) {
  EXPECT_EQ(feed({"STOP"}, {"abcSTOPdef"}), (Outcome{"abc", "STOP"}));
  EXPECT_EQ(feed({"STOP"}, {"abcST", "OPdef"}), (Outcome{"abc", "STOP"}));
  EXPECT_EQ(feed({"STOP"}, {"a", "S", "T", "O", "P"}), (Outcome{"a", "STOP"}));
  EXPECT_EQ(feed({"STOP"}, {"STOP"}), (Outcome{"", "STOP"}));
  EXPECT_EQ(feed({"aab"}, {"a", "a", "a", "b", "c"}), (Outcome{"a", "aab"}));
  EXPECT_EQ(feed({"\xC3\xA9"}, {"caf\xC3\xA9"}), (Outcome{"caf", "\xC3\xA9"}));
}

TEST(StopMatcher, ReleasesWhatDidNotMatch) {
  EXPECT_EQ(feed({"STOP"}, {"ST", "OX", "STO"}), (Outcome{"STOXSTO", ""}));
  EXPECT_EQ(feed({}, {"any", "thing"}), (Outcome{"anything", ""}));
}

TEST(StopMatcher, EarliestEndWinsThenTheLongest) {
  EXPECT_EQ(feed({"bc", "abcd"}, {"xabcd"}), (Outcome{"xa", "bc"}));
  EXPECT_EQ(feed({"b", "ab"}, {"xab"}), (Outcome{"x", "ab"}));
}

TEST(StopMatcher, HoldsBackNoMoreThanItMust) {
  StopMatcher matcher({"\n\nUser:"});
  std::string out;
  matcher.push("Hello.\n", out);
  EXPECT_EQ(out, "Hello.");
  matcher.push("More", out);
  EXPECT_EQ(out, "Hello.\nMore");
}

TEST(StopMatcher, RandomTextAgreesWithWholeTextSearch) {
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    const auto letters = [&](size_t n) {
      std::string text;
      for (size_t i = 0; i < n; ++i) text.push_back(static_cast<char>('a' + random() % 2));
      return text;
    };
    std::vector<std::string> stops;
    for (uint32_t i = 0; i < 1 + random() % 3; ++i) stops.push_back(letters(1 + random() % 5));
    std::vector<std::string> pieces;
    std::string whole;
    for (int i = 0; i < 8; ++i) {
      pieces.push_back(letters(random() % 4));
      whole += pieces.back();
    }
    Outcome expected{whole, ""};
    for (size_t end = 1; end <= whole.size() && expected.match.empty(); ++end) {
      for (const std::string& stop : stops) {
        if (stop.size() > end || whole.compare(end - stop.size(), stop.size(), stop) != 0) continue;
        if (stop.size() > expected.match.size()) {
          expected = {whole.substr(0, end - stop.size()), stop};
        }
      }
    }
    ASSERT_EQ(feed(stops, pieces), expected) << "seed " << seed;
  }
}

TEST(ValidateStopStrings, RefusesWhatCouldBreakTheOutput) {
  EXPECT_TRUE(validate_stop_strings(std::vector<std::string>{"a", "\xC3\xA9"}).ok());
  EXPECT_FALSE(validate_stop_strings(std::vector<std::string>{"a", ""}).ok());
  EXPECT_FALSE(validate_stop_strings(std::vector<std::string>{"\xA9"}).ok());
  EXPECT_FALSE(validate_stop_strings(std::vector<std::string>(65, "x")).ok());
  EXPECT_FALSE(validate_stop_strings(std::vector<std::string>{std::string(20000, 'x')}).ok());
}

}  // namespace
}  // namespace quern::engine
