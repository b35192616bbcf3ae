// One ordered set of all nodes: siblings lie side by side in it, and nobody can make a lookup slow
// by choosing tokens. Everything else is indexed by page.
#include "engine/kv/prefix_tree.h"

#include <algorithm>

#include "config/base/check.h"

namespace quern::engine {

bool PrefixTree::Order::less(const Place& a, const Place& b) {
  if (a.space != b.space) return a.space < b.space;
  if (a.parent != b.parent) return a.parent < b.parent;
  return std::lexicographical_compare(a.tokens.begin(), a.tokens.end(), b.tokens.begin(),
                                      b.tokens.end());
}

PrefixTree::PrefixTree(PagePool& pool, int32_t page_tokens)
    : pool_(&pool), page_tokens_(page_tokens), nodes_in_order_(Order{this}) {
  const auto n_pages = static_cast<size_t>(pool.n_pages());
  nodes_.resize(n_pages + 1);
  nodes_[n_pages].older = nodes_[n_pages].newer = sentinel();
  tokens_.resize(n_pages * static_cast<size_t>(page_tokens));
}

PrefixTree::~PrefixTree() {
  for (const PageId page : nodes_in_order_) pool_->stop_keeping(page);
}

PrefixTree::Place PrefixTree::place(PageId page) const {
  const auto width = static_cast<size_t>(page_tokens_);
  return {node(page).space, node(page).parent,
          std::span(tokens_).subspan(static_cast<size_t>(page) * width, width)};
}

std::optional<PageId> PrefixTree::child(PromptSpace space, PageId parent,
                                        std::span<const TokenId> tokens) const {
  CHECK(tokens.size() == static_cast<size_t>(page_tokens_));
  const auto found = nodes_in_order_.find(Place{space, parent, tokens});
  if (found == nodes_in_order_.end()) return std::nullopt;
  return *found;
}

void PrefixTree::find(PromptSpace space, std::span<const TokenId> tokens, size_t max_pages,
                      std::vector<PageId>& out) const {
  const auto width = static_cast<size_t>(page_tokens_);
  PageId parent = kRoot;
  for (size_t i = 0; i < max_pages && (i + 1) * width <= tokens.size(); ++i) {
    const auto next = child(space, parent, tokens.subspan(i * width, width));
    if (!next) return;
    out.push_back(*next);
    parent = *next;
  }
}

PageId PrefixTree::insert(PromptSpace space, PageId parent, std::span<const TokenId> tokens,
                          PageId page, uint64_t creator) {
  CHECK(parent == kRoot || contains(parent));
  if (const auto there = child(space, parent, tokens)) return *there;
  CHECK(!contains(page));
  Node& fresh = node(page);
  fresh.space = space;
  fresh.parent = parent;
  fresh.creator = creator;
  std::copy(tokens.begin(), tokens.end(),
            tokens_.begin() + static_cast<std::ptrdiff_t>(page) * page_tokens_);
  nodes_in_order_.insert(page);  // the only step that can fail
  pool_->keep(page);
  link_newest(page);
  return page;
}

uint64_t PrefixTree::creator(PageId page) const {
  CHECK(contains(page));
  return node(page).creator;
}

// From the far end to the root, so that a parent is always more recent than its children.
void PrefixTree::touch(std::span<const PageId> path) {
  for (size_t i = path.size(); i > 0; --i) {
    const PageId page = path[i - 1];
    if (!contains(page)) continue;
    unlink(page);
    link_newest(page);
  }
}

// Pages in use that come up are recent after all and go to the other end; their order is set right
// when their sequence ends and touches them. Of the idle ones at least one has no child: who uses a
// page uses the whole path to it.
bool PrefixTree::evict_one() {
  if (pool_->n_idle() == 0) return false;
  for (int64_t tries = 2 * int64_t{n_nodes()}; tries > 0; --tries) {
    const PageId oldest = node(sentinel()).newer;
    if (pool_->reference_count(oldest) == 0 && !has_child(oldest)) {
      erase_node(oldest);
      ++n_evicted_;
      return true;
    }
    unlink(oldest);
    link_newest(oldest);
  }
  return false;
}

bool PrefixTree::has_child(PageId page) const {
  const auto next = nodes_in_order_.lower_bound(Place{node(page).space, page, {}});
  return next != nodes_in_order_.end() && node(*next).parent == page;
}

void PrefixTree::forget(PageId page) {
  CHECK(contains(page));
  // Always down to a leaf first; a node is visited once per child and once to go.
  PageId at = page;
  while (true) {
    const auto next = nodes_in_order_.lower_bound(Place{node(at).space, at, {}});
    if (next != nodes_in_order_.end() && node(*next).parent == at) {
      at = *next;
      continue;
    }
    const PageId parent = node(at).parent;
    erase_node(at);
    if (at == page) return;
    at = parent;
  }
}

void PrefixTree::erase_node(PageId page) {
  nodes_in_order_.erase(page);
  unlink(page);
  pool_->stop_keeping(page);
}

void PrefixTree::unlink(PageId page) {
  Node& gone = node(page);
  node(gone.older).newer = gone.newer;
  node(gone.newer).older = gone.older;
}

void PrefixTree::link_newest(PageId page) {
  Node& fresh = node(page);
  fresh.newer = sentinel();
  fresh.older = node(sentinel()).older;
  node(fresh.older).newer = page;
  node(sentinel()).older = page;
}

std::optional<std::string> PrefixTree::check_integrity() const {
  int32_t n_kept = 0;
  for (PageId page = 0; page < pool_->n_pages(); ++page) n_kept += pool_->kept(page) ? 1 : 0;
  if (n_kept != n_nodes()) return "the pool keeps pages that are in no tree";
  for (const PageId page : nodes_in_order_) {
    const std::string name = "tree page " + std::to_string(page);
    if (!pool_->kept(page)) return name + " is not kept";
    const PageId parent = node(page).parent;
    if (parent == kRoot) continue;
    if (!pool_->kept(parent)) return name + " cannot be reached";
    if (node(parent).space != node(page).space) return name + " is below another share or adapter";
    if (pool_->reference_count(page) > 0 && pool_->reference_count(parent) == 0) {
      return name + " is in use, its parent is not";
    }
  }
  int32_t n_linked = 0;
  for (PageId page = node(sentinel()).newer; page != sentinel(); page = node(page).newer) {
    if (++n_linked > n_nodes()) break;
  }
  if (n_linked != n_nodes()) return "the order of use does not hold all tree pages";
  return std::nullopt;
}

}  // namespace quern::engine
