// Free list and counts; every operation is constant time.
#include "engine/kv/page_pool.h"

#include "config/base/check.h"

namespace quern::engine {

PagePool::PagePool(int32_t n_pages) {
  CHECK(n_pages >= 0);
  counts_.assign(static_cast<size_t>(n_pages), 0);
  kept_.assign(static_cast<size_t>(n_pages), false);
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
  const bool idle = reference_count(page) == 0;
  CHECK(!idle || kept(page));
  if (idle) --n_idle_;
  ++counts_[static_cast<size_t>(page)];
}

void PagePool::release(PageId page) {
  CHECK(reference_count(page) > 0);
  if (--counts_[static_cast<size_t>(page)] > 0) return;
  if (kept(page)) {
    ++n_idle_;
  } else {
    free_.push_back(page);  // within the reserved capacity
  }
}

void PagePool::keep(PageId page) {
  CHECK(reference_count(page) > 0 && !kept(page));
  kept_[static_cast<size_t>(page)] = true;
}

void PagePool::stop_keeping(PageId page) {
  CHECK(kept(page));
  kept_[static_cast<size_t>(page)] = false;
  if (reference_count(page) > 0) return;
  --n_idle_;
  free_.push_back(page);
}

bool PagePool::kept(PageId page) const {
  CHECK(page >= 0 && page < n_pages());
  return kept_[static_cast<size_t>(page)];
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
    if (counts_[i] != 0 || kept_[i]) {
      return "page " + std::to_string(page) + " is free and in use";
    }
  }
  int32_t n_idle = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0 && kept_[i]) ++n_idle;
    if (counts_[i] == 0 && !kept_[i] && !seen[i]) {
      return "page " + std::to_string(i) + " is lost";
    }
  }
  if (n_idle != n_idle_) return "the count of idle pages is wrong";
  return std::nullopt;
}

}  // namespace quern::engine
