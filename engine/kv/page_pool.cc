// Free list and counts; every operation is constant time.
#include "engine/kv/page_pool.h"

#include "config/base/check.h"

namespace quern::engine {

PagePool::PagePool(int32_t n_pages) {
  CHECK(n_pages >= 0);
  counts_.assign(static_cast<size_t>(n_pages), 0);
  free_.reserve(static_cast<size_t>(n_pages));
  for (PageId page = n_pages - 1; page >= 0; --page) free_.push_back(page);
}

std::optional<PageId> PagePool::take() {
  if (free_.empty()) return std::nullopt;
  const PageId page = free_.back();
  free_.pop_back();
  counts_[static_cast<size_t>(page)] = 1;
  return page;
}

void PagePool::add_reference(PageId page) {
  CHECK(reference_count(page) > 0);
  ++counts_[static_cast<size_t>(page)];
}

void PagePool::release(PageId page) {
  CHECK(reference_count(page) > 0);
  if (--counts_[static_cast<size_t>(page)] == 0) free_.push_back(page);
}

int32_t PagePool::reference_count(PageId page) const {
  CHECK(page >= 0 && page < n_pages());
  return counts_[static_cast<size_t>(page)];
}

std::optional<std::string> PagePool::check_integrity(std::span<const PageId> held) const {
  std::vector<int32_t> expected(counts_.size(), 0);
  for (const PageId page : held) {
    if (page < 0 || page >= n_pages()) return "held page " + std::to_string(page) + " is no page";
    ++expected[static_cast<size_t>(page)];
  }
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] != expected[i]) {
      return "page " + std::to_string(i) + " counts " + std::to_string(counts_[i]) +
             " references, owners hold " + std::to_string(expected[i]);
    }
  }
  std::vector<bool> seen(counts_.size(), false);
  for (const PageId page : free_) {
    const auto i = static_cast<size_t>(page);
    if (seen[i]) return "page " + std::to_string(page) + " is free twice";
    seen[i] = true;
    if (counts_[i] != 0) return "page " + std::to_string(page) + " is free and in use";
  }
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0 && !seen[i]) return "page " + std::to_string(i) + " is lost";
  }
  return std::nullopt;
}

}  // namespace quern::engine
