// Page tables over one pool: growth, sharing and copy-on-write against a model that stores
// contents.
#include "engine/kv/page_table.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>

namespace quern::engine {
namespace {

TEST(PageTable, GrowsByWholePagesOrNotAtAll) {
  PagePool pool(3);
  PageTable table(pool, 4);
  EXPECT_TRUE(table.grow(5));
  EXPECT_EQ(table.pages().size(), 2U);
  EXPECT_TRUE(table.grow(8));
  EXPECT_EQ(table.capacity(), 8);
  EXPECT_FALSE(table.grow(17));
  EXPECT_EQ(table.pages().size(), 2U);
  EXPECT_TRUE(table.grow(12));
  table.release();
  EXPECT_EQ(pool.n_free(), 3);
}

TEST(PageTable, DestructionAndMoveKeepOneOwner) {
  PagePool pool(4);
  {
    PageTable a(pool, 4);
    ASSERT_TRUE(a.grow(16));
    PageTable b(std::move(a));
    EXPECT_EQ(b.pages().size(), 4U);
    PageTable c(pool, 4);
    c = std::move(b);
    EXPECT_EQ(pool.n_used(), 4);
  }
  EXPECT_EQ(pool.n_used(), 0);
}

// Contents are simulated: each page holds one value per position; a table's view must always equal
// what was written to it, whoever shares its pages.
TEST(PageTable, SharedPagesNeverShowForeignWrites) {
  constexpr int32_t kPageTokens = 4;
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    PagePool pool(12);
    struct Owner {
      PageTable table;
      std::vector<int> expected;
    };
    std::map<int, Owner> owners;
    std::vector<std::array<int, kPageTokens>> memory(12);
    int next_value = 1;
    for (int i = 0; i < 150; ++i) {
      const auto action = static_cast<int>(random() % 4);
      if (action == 0 && owners.size() < 5) {
        owners.emplace(i, Owner{PageTable(pool, kPageTokens), {}});
      } else if (!owners.empty()) {
        auto it = std::next(owners.begin(), random() % owners.size());
        Owner& owner = it->second;
        if (action == 1) {
          owners.erase(it);
        } else if (action == 2) {
          PageTable child(pool, kPageTokens);
          const size_t n = owner.table.pages().size();
          child.share_front(owner.table, n);
          owners.emplace(1000 + i, Owner{std::move(child), owner.expected});
        } else {
          const auto position = static_cast<int64_t>(owner.expected.size());
          if (!owner.table.grow(position + 1)) continue;
          const auto writable = owner.table.make_writable(position);
          if (!writable.ok) continue;
          if (writable.copy) {
            memory[static_cast<size_t>(writable.copy->to)] =
                memory[static_cast<size_t>(writable.copy->from)];
          }
          const PageId page = owner.table.pages()[static_cast<size_t>(position / kPageTokens)];
          memory[static_cast<size_t>(page)][static_cast<size_t>(position % kPageTokens)] =
              next_value;
          owner.expected.push_back(next_value++);
        }
      }
      std::vector<PageId> held;
      for (const auto& [id, owner] : owners) {
        const auto pages = owner.table.pages();
        held.insert(held.end(), pages.begin(), pages.end());
        for (size_t p = 0; p < owner.expected.size(); ++p) {
          ASSERT_EQ(memory[static_cast<size_t>(pages[p / kPageTokens])][p % kPageTokens],
                    owner.expected[p])
              << "seed " << seed;
        }
      }
      ASSERT_EQ(pool.check_integrity(held), std::nullopt) << "seed " << seed;
    }
  }
}

TEST(PageTable, TruncateGivesBackWhatHoldsNoPosition) {
  PagePool pool(6);
  PageTable table(pool, 4);
  ASSERT_TRUE(table.grow(17));
  table.truncate(20);
  EXPECT_EQ(table.pages().size(), 5U);
  const PageId first = table.pages()[0];
  table.truncate(8);
  EXPECT_EQ(table.pages().size(), 2U);
  EXPECT_EQ(table.pages()[0], first);
  EXPECT_EQ(pool.n_free(), 4);
  table.truncate(0);
  EXPECT_EQ(pool.n_free(), 6);
}

}  // namespace
}  // namespace quern::engine
