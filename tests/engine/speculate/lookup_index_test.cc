// The index against a search through all tokens, its bounds, and repetitions that overlap.
#include "engine/speculate/lookup_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace quern::engine {
namespace {

// The longest run at the end that occurred before with something after it, at its last occurrence.
LookupIndex::Match search(std::span<const TokenId> tokens) {
  for (int length = LookupIndex::kMaxMatch; length > 0; --length) {
    const auto n = static_cast<size_t>(length);
    if (tokens.size() <= n) continue;
    const auto run = tokens.last(n);
    for (size_t next = tokens.size() - 1; next >= n; --next) {
      if (std::equal(run.begin(), run.end(), tokens.subspan(next - n, n).begin())) {
        return {length, next};
      }
    }
  }
  return {};
}

TEST(LookupIndex, FindsWhatASearchFinds) {
  std::mt19937 random(1);
  int found = 0;
  for (int round = 0; round < 200; ++round) {
    LookupIndex index;
    std::vector<TokenId> tokens;
    const auto n_kinds = 2 + random() % 30;
    for (int i = 0; i < 60; ++i) {
      for (auto more = 1 + random() % 3; more > 0; --more) {
        tokens.push_back(static_cast<TokenId>(random() % n_kinds));
      }
      index.extend(tokens);
      const LookupIndex::Match expected = search(tokens);
      const LookupIndex::Match match = index.find(tokens);
      // A slot that two runs want belongs to the newer one.
      if (match.length == expected.length) {
        EXPECT_EQ(match.next, expected.next);
        ++found;
      } else {
        EXPECT_LT(match.length, expected.length);
      }
    }
  }
  EXPECT_GT(found, 200 * 60 * 3 / 4);
}

TEST(LookupIndex, NothingRepeatsNothingIsFound) {
  LookupIndex index;
  std::vector<TokenId> tokens;
  EXPECT_EQ(index.find(tokens).length, 0);
  for (TokenId token = 0; token < 1000; ++token) {
    tokens.push_back(token);
    index.extend(tokens);
    EXPECT_EQ(index.find(tokens).length, 0);
  }
}

TEST(LookupIndex, GoesOnWithItselfAtTheEnd) {
  const std::vector<TokenId> tokens = {7, 1, 2, 3, 1, 2, 3, 1, 2};
  LookupIndex index;
  index.extend(tokens);
  const LookupIndex::Match match = index.find(tokens);
  EXPECT_EQ(match.length, 4);
  EXPECT_EQ(LookupIndex::continuation(tokens, match, 7),
            (std::vector<TokenId>{3, 1, 2, 3, 1, 2, 3}));
}

TEST(LookupIndex, TheNewestOccurrenceCounts) {
  const std::vector<TokenId> tokens = {5, 6, 1, 9, 5, 6, 2, 8, 5, 6};
  LookupIndex index;
  index.extend(tokens);
  EXPECT_EQ(LookupIndex::continuation(tokens, index.find(tokens), 1), (std::vector<TokenId>{2}));
}

// Far more runs than slots: what is found is still true.
TEST(LookupIndex, StaysTrueBeyondItsBound) {
  std::mt19937 random(2);
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < 3 * LookupIndex::kMaxSlots; ++i) {
    tokens.push_back(static_cast<TokenId>(random() % 5000));
  }
  const std::vector<TokenId> again(tokens.end() - 50, tokens.end() - 10);
  tokens.insert(tokens.end(), again.begin(), again.end());
  LookupIndex index;
  index.extend(tokens);
  const LookupIndex::Match match = index.find(tokens);
  ASSERT_EQ(match.length, LookupIndex::kMaxMatch);
  EXPECT_EQ(match.next, tokens.size() - 50);
}

}  // namespace
}  // namespace quern::engine
