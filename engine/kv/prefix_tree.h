// Finds pages whose keys and values have been computed already: a tree over whole pages, where a
// node is one page and an edge the tokens it holds, so equal paths mean equal tokens from position
// 0 on and, by the reproducibility contract, equal bytes.
//
// Each share (API key) has a tree of its own: nobody learns from his own speed what others asked.
// So has each set of adapters, since it computes other keys and values of the same tokens. Nodes
// are compared by their tokens, never by a hash alone. The tree keeps its pages in the pool; a page
// that no sequence uses is given up when room is needed, the least recently used first and children
// before parents. Leaves it to the Scheduler when to look, to put in and to give up. One thread
// only. Invariant: a page is kept in the pool exactly when it is a node.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/kv/page_pool.h"
#include "engine/types/request.h"

namespace quern::engine {

// Those who share computed prompts with each other, and the machine fairly with the rest.
using ShareId = uint32_t;

// Where equal tokens mean equal pages: a share, and a set of adapters of the model.
struct PromptSpace {
  // A bare share is its space without adapters.
  PromptSpace(ShareId of, uint64_t with = 0) : share(of), adapters(with) {}

  ShareId share;
  uint64_t adapters;  // number of the set; 0: none
  auto operator<=>(const PromptSpace&) const = default;
};

class PrefixTree {
 public:
  static constexpr PageId kRoot = -1;

  // `pool` must outlive the tree.
  PrefixTree(PagePool& pool, int32_t page_tokens);
  ~PrefixTree();
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;

  // Appends the pages of the longest known path of `tokens` to `out`, `max_pages` at most.
  void find(PromptSpace space, std::span<const TokenId> tokens, size_t max_pages,
            std::vector<PageId>& out) const;
  // The child of `parent` that holds exactly these page_tokens tokens.
  std::optional<PageId> child(PromptSpace space, PageId parent,
                              std::span<const TokenId> tokens) const;
  // Makes `page`, which holds these page_tokens tokens, a child of `parent` (a node or kRoot).
  // Returns the page that stands for them: `page`, or one that was there before. `creator` is
  // whoever computed it. Strong guarantee when memory runs out.
  PageId insert(PromptSpace space, PageId parent, std::span<const TokenId> tokens, PageId page,
                uint64_t creator);
  bool contains(PageId page) const { return pool_->kept(page); }
  uint64_t creator(PageId page) const;

  // `path` starts at the root and may end with pages that are no nodes. Marks its nodes as most
  // recently used. Never allocates.
  void touch(std::span<const PageId> path);
  // Gives up the least recently used page that no sequence uses; false when there is none.
  bool evict_one();
  // Takes a node and everything below it out of the tree; sequences that use the pages keep them.
  void forget(PageId page);

  int32_t n_nodes() const { return static_cast<int32_t>(nodes_in_order_.size()); }
  uint64_t n_evicted() const { return n_evicted_; }
  // What is wrong, or nothing. For tests.
  std::optional<std::string> check_integrity() const;

 private:
  struct Node {
    PromptSpace space = 0;
    PageId parent = kRoot;
    uint64_t creator = 0;
    // Neighbours in the order of use; the sentinel has index n_pages.
    int32_t older = 0;
    int32_t newer = 0;
  };
  // What orders nodes: space, parent, tokens.
  struct Place {
    PromptSpace space;
    PageId parent;
    std::span<const TokenId> tokens;  // empty: before all children
  };
  struct Order {
    using is_transparent = void;
    const PrefixTree* tree;
    bool operator()(PageId a, PageId b) const { return less(tree->place(a), tree->place(b)); }
    bool operator()(PageId a, const Place& b) const { return less(tree->place(a), b); }
    bool operator()(const Place& a, PageId b) const { return less(a, tree->place(b)); }
    static bool less(const Place& a, const Place& b);
  };

  Place place(PageId page) const;
  bool has_child(PageId page) const;
  void unlink(PageId page);
  void link_newest(PageId page);
  void erase_node(PageId page);
  Node& node(PageId page) { return nodes_[static_cast<size_t>(page)]; }
  const Node& node(PageId page) const { return nodes_[static_cast<size_t>(page)]; }
  int32_t sentinel() const { return pool_->n_pages(); }

  PagePool* pool_;
  int32_t page_tokens_;
  std::vector<Node> nodes_;      // by page, and the sentinel of the order of use
  std::vector<TokenId> tokens_;  // page_tokens_ per page
  std::set<PageId, Order> nodes_in_order_;
  uint64_t n_evicted_ = 0;
};

}  // namespace quern::engine
