// Paths, order of use and reference counts of the tree.
#include "engine/kv/prefix_tree.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace quern::engine {
namespace {

constexpr int32_t kPageTokens = 2;

class PrefixTreeTest : public testing::Test {
 protected:
  // Puts a path in, as a sequence would that is then over.
  std::vector<PageId> put(const std::vector<TokenId>& tokens, PromptSpace space = 0,
                          uint64_t creator = 1) {
    std::vector<PageId> path;
    PageId parent = PrefixTree::kRoot;
    for (size_t i = 0; i + kPageTokens <= tokens.size(); i += kPageTokens) {
      if (pool_.n_free() == 0) tree_.evict_one();
      const PageId own = *pool_.take();
      const PageId page =
          tree_.insert(space, parent, std::span(tokens).subspan(i, kPageTokens), own, creator);
      if (page != own) {
        pool_.add_reference(page);
        pool_.release(own);
      }
      path.push_back(page);
      parent = page;
    }
    tree_.touch(path);
    for (const PageId page : path) pool_.release(page);
    check();
    return path;
  }

  std::vector<PageId> find(const std::vector<TokenId>& tokens, PromptSpace space = 0,
                           size_t max_pages = 100) {
    std::vector<PageId> out;
    tree_.find(space, tokens, max_pages, out);
    return out;
  }

  void check() {
    EXPECT_EQ(tree_.check_integrity(), std::nullopt);
    EXPECT_EQ(pool_.check_integrity({}), std::nullopt);
  }

  PagePool pool_{8};
  PrefixTree tree_{pool_, kPageTokens};
};

TEST_F(PrefixTreeTest, ASetOfAdaptersHasATreeOfItsOwn) {
  const std::vector<TokenId> tokens = {1, 2, 3, 4};
  const auto plain = put(tokens);
  const auto first = put(tokens, {0, 1});
  const auto of_another_share = put(tokens, {1, 1});
  EXPECT_EQ(find(tokens), plain);
  EXPECT_EQ(find(tokens, {0, 1}), first);
  EXPECT_EQ(find(tokens, {1, 1}), of_another_share);
  EXPECT_TRUE(find(tokens, {0, 2}).empty());
  EXPECT_TRUE(find(tokens, 1).empty());
  EXPECT_NE(plain, first);
  EXPECT_NE(first, of_another_share);
}

TEST_F(PrefixTreeTest, FindsTheLongestPathOfWholePages) {
  const auto path = put({1, 2, 3, 4, 5, 6});
  EXPECT_EQ(path.size(), 3U);
  EXPECT_EQ(find({1, 2, 3, 4, 5, 6, 7}), path);
  EXPECT_EQ(find({1, 2, 3, 4, 5}), std::vector(path.begin(), path.begin() + 2));
  EXPECT_EQ(find({1, 2, 3, 4, 5, 6}, 0, 1), std::vector(path.begin(), path.begin() + 1));
  EXPECT_TRUE(find({3, 4}).empty());  // the same tokens at another place are another page
  EXPECT_TRUE(find({1, 3}).empty());
}

TEST_F(PrefixTreeTest, PathsShareTheirBeginning) {
  const auto first = put({1, 2, 3, 4});
  const auto second = put({1, 2, 5, 6});
  EXPECT_EQ(first[0], second[0]);
  EXPECT_NE(first[1], second[1]);
  EXPECT_EQ(tree_.n_nodes(), 3);
  EXPECT_EQ(pool_.n_idle(), 3);
}

TEST_F(PrefixTreeTest, SharesAreSeparate) {
  put({1, 2}, 1);
  EXPECT_TRUE(find({1, 2}, 2).empty());
  EXPECT_EQ(find({1, 2}, 1).size(), 1U);
  put({1, 2}, 2);
  EXPECT_EQ(tree_.n_nodes(), 2);
}

TEST_F(PrefixTreeTest, GivesUpTheLeastRecentlyUsedLeafFirst) {
  put({1, 2, 3, 4});
  put({5, 6, 7, 8});
  tree_.touch(find({1, 2, 3, 4}));
  ASSERT_TRUE(tree_.evict_one());
  EXPECT_EQ(find({5, 6, 7, 8}).size(), 1U);
  ASSERT_TRUE(tree_.evict_one());
  EXPECT_TRUE(find({5, 6, 7, 8}).empty());
  EXPECT_EQ(find({1, 2, 3, 4}).size(), 2U);
  check();
}

// Whatever the order of use: a page that nobody can reach any more would be lost.
TEST_F(PrefixTreeTest, AParentStaysUntilItsChildrenHaveGone) {
  const auto path = put({1, 2, 3, 4});
  tree_.touch(std::span(path).subspan(1));  // the child is the more recent of the two
  ASSERT_TRUE(tree_.evict_one());
  EXPECT_EQ(find({1, 2, 3, 4}).size(), 1U);
  check();
}

TEST_F(PrefixTreeTest, PagesInUseStay) {
  const auto path = put({1, 2, 3, 4});
  for (const PageId page : path) pool_.add_reference(page);
  EXPECT_FALSE(tree_.evict_one());
  pool_.release(path[1]);
  EXPECT_TRUE(tree_.evict_one());
  EXPECT_FALSE(tree_.evict_one());
  EXPECT_EQ(find({1, 2, 3, 4}).size(), 1U);
  pool_.release(path[0]);
  check();
}

TEST_F(PrefixTreeTest, ForgettingTakesEverythingBelow) {
  const auto path = put({1, 2, 3, 4, 5, 6});
  put({1, 2, 7, 8});
  tree_.forget(path[1]);
  EXPECT_EQ(find({1, 2, 3, 4, 5, 6}).size(), 1U);
  EXPECT_EQ(find({1, 2, 7, 8}).size(), 2U);
  tree_.forget(path[0]);
  EXPECT_EQ(tree_.n_nodes(), 0);
  EXPECT_EQ(pool_.n_free(), 8);
  check();
}

// Against a map from whole prefixes to pages.
TEST_F(PrefixTreeTest, AgreesWithAReference) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::vector<TokenId> tokens(2 * (random() % 4));
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 2);
    const auto share = static_cast<ShareId>(random() % 2);
    const auto found = find(tokens, share);
    if (random() % 3 == 0) {
      put(tokens, share);
      ASSERT_EQ(find(tokens, share).size(), tokens.size() / 2);
    } else if (random() % 3 == 0) {
      tree_.evict_one();
    } else if (random() % 6 == 0 && !found.empty()) {
      tree_.forget(found.back());
      ASSERT_EQ(find(tokens, share).size(), found.size() - 1);
    } else {
      tree_.touch(found);
    }
    check();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace quern::engine
