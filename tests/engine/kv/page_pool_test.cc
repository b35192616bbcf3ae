// Page pool: exact behaviour and random operations against a multiset of owners.
#include "engine/kv/page_pool.h"

#include <gtest/gtest.h>

#include <random>

namespace quern::engine {
namespace {

TEST(PagePool, GivesEachPageOnceAndTakesItBack) {
  PagePool pool(3);
  std::vector<PageId> held;
  while (const auto page = pool.take()) held.push_back(*page);
  EXPECT_EQ(held.size(), 3U);
  EXPECT_EQ(pool.n_free(), 0);
  EXPECT_EQ(pool.check_integrity(held), std::nullopt);
  pool.add_reference(held[1]);
  pool.release(held[1]);
  EXPECT_EQ(pool.n_free(), 0);
  pool.release(held[1]);
  EXPECT_EQ(pool.n_free(), 1);
  EXPECT_EQ(pool.take(), held[1]);
}

TEST(PagePool, IntegrityCheckSeesLeaks) {
  PagePool pool(3);
  const PageId page = *pool.take();
  EXPECT_NE(pool.check_integrity({}), std::nullopt);
  const std::vector<PageId> twice = {page, page};
  EXPECT_NE(pool.check_integrity(twice), std::nullopt);
}

TEST(PagePool, RandomOperationsAgreeWithAListOfOwners) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    PagePool pool(static_cast<int32_t>(random() % 20));
    std::vector<PageId> held;
    for (int i = 0; i < 200; ++i) {
      const auto action = static_cast<int>(random() % 3);
      if (action == 0) {
        const auto page = pool.take();
        if (page) held.push_back(*page);
      } else if (!held.empty()) {
        const size_t which = random() % held.size();
        if (action == 1) {
          pool.add_reference(held[which]);
          held.push_back(held[which]);
        } else {
          pool.release(held[which]);
          held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
        }
      }
      ASSERT_EQ(pool.check_integrity(held), std::nullopt) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace quern::engine
