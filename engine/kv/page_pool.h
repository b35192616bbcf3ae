// Who owns which page of the KV cache: reference counts and a free list over page numbers. The
// memory behind the numbers belongs to graph::KvStorage.
//
// One thread only (the engine's). Invariant: a page is free exactly when its count is 0.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace quern::engine {

using PageId = int32_t;

class PagePool {
 public:
  explicit PagePool(int32_t n_pages);

  // A free page with one reference, or nothing when all are in use.
  std::optional<PageId> take();
  // One more owner. Precondition: the page is in use.
  void add_reference(PageId page);
  // One owner less; the last one frees the page. Precondition: the page is in use.
  void release(PageId page);

  int32_t reference_count(PageId page) const;
  int32_t n_pages() const { return static_cast<int32_t>(counts_.size()); }
  int32_t n_free() const { return static_cast<int32_t>(free_.size()); }
  int32_t n_used() const { return n_pages() - n_free(); }

  // Compares counts and free list with `held`: every page number that any owner holds, as often as
  // it is held. Returns what is wrong, or nothing. For tests.
  std::optional<std::string> check_integrity(std::span<const PageId> held) const;

 private:
  std::vector<int32_t> counts_;
  std::vector<PageId> free_;  // taken from the back
};

}  // namespace quern::engine
