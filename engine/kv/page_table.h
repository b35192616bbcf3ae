// The pages of one sequence in the order of its positions.
//
// Pages may be shared with other tables (a common prompt) or kept by the PrefixTree; such a page is
// read-only, and make_writable() replaces it before its first write. Invariant: the table holds one
// reference to each of its pages, until release() or destruction.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/kv/page_pool.h"

namespace quern::engine {

// Contents to copy, by whoever owns the memory, before the next write.
struct PageCopy {
  PageId from;
  PageId to;
};

class PageTable {
 public:
  // `pool` must outlive the table.
  PageTable(PagePool& pool, int32_t page_tokens) : pool_(&pool), page_tokens_(page_tokens) {}
  ~PageTable() { release(); }
  PageTable(PageTable&& other) noexcept;
  PageTable& operator=(PageTable&& other) noexcept;
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;

  // Takes pages until `n_positions` are covered. False when the pool has too few; nothing is taken
  // then.
  bool grow(int64_t n_positions);
  // Appends the first `n_pages` pages of `other`, shared. Precondition: this table is empty.
  void share_front(const PageTable& other, size_t n_pages);
  // The same with pages by number, in use or kept. Precondition: this table is empty.
  void share_front(std::span<const PageId> pages);
  // Puts `page` (in use or kept, same contents) in place of the one at `index`.
  void replace(size_t index, PageId page);
  // Whether the page of `position` may be written: nobody else owns or keeps it.
  bool writable(int64_t position) const;
  // Makes the page of `position` this table's own: the copy to make first, nothing when it already
  // was. `ok` is false when the pool has no page left.
  struct Writable {
    bool ok = true;
    std::optional<PageCopy> copy;
  };
  Writable make_writable(int64_t position);
  // Gives back the pages that hold no position below `n_positions`.
  void truncate(int64_t n_positions);
  // Gives all pages back.
  void release();

  std::span<const PageId> pages() const { return pages_; }
  int64_t capacity() const { return static_cast<int64_t>(pages_.size()) * page_tokens_; }

 private:
  PagePool* pool_;
  int32_t page_tokens_;
  std::vector<PageId> pages_;
};

// Pages that cover `n_positions`.
constexpr int64_t pages_for(int64_t n_positions, int32_t page_tokens) {
  return (n_positions + page_tokens - 1) / page_tokens;
}

}  // namespace quern::engine
