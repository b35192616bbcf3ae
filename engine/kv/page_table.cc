// Bookkeeping of one sequence's pages.
#include "engine/kv/page_table.h"

#include <utility>

#include "config/base/check.h"

namespace quern::engine {

PageTable::PageTable(PageTable&& other) noexcept
    : pool_(other.pool_),
      page_tokens_(other.page_tokens_),
      pages_(std::exchange(other.pages_, {})) {}

PageTable& PageTable::operator=(PageTable&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = other.pool_;
  page_tokens_ = other.page_tokens_;
  pages_ = std::exchange(other.pages_, {});
  return *this;
}

bool PageTable::grow(int64_t n_positions) {
  const int64_t wanted = pages_for(n_positions, page_tokens_);
  const int64_t missing = wanted - static_cast<int64_t>(pages_.size());
  if (missing <= 0) return true;
  if (missing > pool_->n_free()) return false;
  pages_.reserve(static_cast<size_t>(wanted));
  for (int64_t i = 0; i < missing; ++i) pages_.push_back(*pool_->take());
  return true;
}

void PageTable::share_front(const PageTable& other, size_t n_pages) {
  CHECK(n_pages <= other.pages_.size());
  CHECK(pool_ == other.pool_);
  share_front(std::span(other.pages_).first(n_pages));
}

void PageTable::share_front(std::span<const PageId> pages) {
  CHECK(pages_.empty());
  pages_.assign(pages.begin(), pages.end());
  for (const PageId page : pages_) pool_->add_reference(page);
}

void PageTable::replace(size_t index, PageId page) {
  CHECK(index < pages_.size());
  pool_->add_reference(page);
  pool_->release(pages_[index]);
  pages_[index] = page;
}

bool PageTable::writable(int64_t position) const {
  CHECK(position >= 0 && position < capacity());
  const PageId page = pages_[static_cast<size_t>(position / page_tokens_)];
  return pool_->reference_count(page) == 1 && !pool_->kept(page);
}

PageTable::Writable PageTable::make_writable(int64_t position) {
  if (writable(position)) return {};
  PageId& slot = pages_[static_cast<size_t>(position / page_tokens_)];
  const std::optional<PageId> fresh = pool_->take();
  if (!fresh) return {false, std::nullopt};
  const PageCopy copy{slot, *fresh};
  pool_->release(slot);
  slot = *fresh;
  return {true, copy};
}

void PageTable::truncate(int64_t n_positions) {
  const auto n_kept = static_cast<size_t>(pages_for(n_positions, page_tokens_));
  while (pages_.size() > n_kept) {
    pool_->release(pages_.back());
    pages_.pop_back();
  }
}

void PageTable::release() {
  for (const PageId page : pages_) pool_->release(page);
  pages_.clear();
}

}  // namespace quern::engine
