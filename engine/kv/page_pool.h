// Who owns which page of the KV cache: reference counts and a free list over page numbers. The
// memory behind the numbers belongs to graph::KvStorage.
//
// A page can also be kept for its contents (by the PrefixTree) while nobody refers to it. One
// thread only (the engine's). Invariant: a page is free exactly when its count is 0 and it is not
// kept; used, idle (kept, count 0) and free pages add up to all pages.
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
  // One more owner. Precondition: the page is in use or kept.
  void add_reference(PageId page);
  // One owner less; the last one frees the page unless it is kept. Precondition: it is in use.
  void release(PageId page);
  // From now on its contents outlive its owners. Precondition: the page is in use, not kept.
  void keep(PageId page);
  // The opposite; frees the page if nobody owns it. Precondition: the page is kept.
  void stop_keeping(PageId page);

  int32_t reference_count(PageId page) const;
  bool kept(PageId page) const;
  int32_t n_pages() const { return static_cast<int32_t>(counts_.size()); }
  int32_t n_free() const { return static_cast<int32_t>(free_.size()); }
  int32_t n_idle() const { return n_idle_; }  // kept and owned by nobody
  int32_t n_used() const { return n_pages() - n_free() - n_idle(); }

  // Compares counts and free list with `held`: every page number that any owner holds, as often as
  // it is held. Returns what is wrong, or nothing; who keeps pages is PrefixTree's to check. For
  // tests.
  std::optional<std::string> check_integrity(std::span<const PageId> held) const;

 private:
  std::vector<int32_t> counts_;
  std::vector<bool> kept_;
  std::vector<PageId> free_;  // taken from the back
  int32_t n_idle_ = 0;
};

}  // namespace quern::engine
