// Merging of neighbours, best first, in O(n log n): the heart of both kinds of BPE.
//
// The symbols form a linked list over one piece of text; a heap holds the pairs that could merge. A
// popped pair is stale if one of its ends has grown or gone since it was pushed. Each merge pushes
// at most two pairs, so there are at most 3n pops.
// Source: Sennrich et al. 2016; the heap as in SentencePiece and Hugging Face tokenizers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace quern::tokenizer {

inline constexpr uint32_t kNoSymbol = 0xFFFFFFFF;

struct MergeSymbol {
  uint32_t begin = 0;  // byte offset in the text
  uint32_t length = 0;
  uint32_t prev = kNoSymbol;
  uint32_t next = kNoSymbol;
  uint32_t id = kNoSymbol;  // what the lookup calls it
};

// What two neighbours become. The smallest order goes first, the leftmost among equals.
template <typename Order>
struct MergeResult {
  Order order;
  uint32_t id;
};

template <typename Order>
class MergeChain {
 public:
  // Symbols in text order; links are set here. Capacity is kept between uses.
  void start() { symbols_.clear(); }
  void add(uint32_t begin, uint32_t length, uint32_t id) {
    const auto index = static_cast<uint32_t>(symbols_.size());
    const uint32_t prev = index == 0 ? kNoSymbol : index - 1;
    if (prev != kNoSymbol) symbols_[prev].next = index;
    symbols_.push_back({begin, length, prev, kNoSymbol, id});
  }

  // `lookup(left, right)` is std::optional<MergeResult<Order>>. Counts pairs looked up and popped.
  template <typename Lookup>
  void merge(const Lookup& lookup, uint64_t& steps) {
    heap_.clear();
    for (uint32_t i = 0; i + 1 < symbols_.size(); ++i) consider(i, i + 1, lookup, steps);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), Later());
      const Candidate best = heap_.back();
      heap_.pop_back();
      ++steps;
      MergeSymbol& left = symbols_[best.left];
      MergeSymbol& right = symbols_[best.right];
      const bool stale = left.length == 0 || right.length == 0 || left.next != best.right ||
                         left.length + right.length != best.length;
      if (stale) continue;
      left.length = best.length;
      left.id = best.id;
      left.next = right.next;
      right.length = 0;
      if (left.next != kNoSymbol) symbols_[left.next].prev = best.left;
      if (left.prev != kNoSymbol) consider(left.prev, best.left, lookup, steps);
      if (left.next != kNoSymbol) consider(best.left, left.next, lookup, steps);
    }
  }

  // What is left, in text order.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (uint32_t i = symbols_.empty() ? kNoSymbol : 0; i != kNoSymbol; i = symbols_[i].next) {
      visit(symbols_[i]);
    }
  }

 private:
  struct Candidate {
    Order order;
    uint32_t left, right;
    uint32_t length;
    uint32_t id;
  };
  struct Later {
    bool operator()(const Candidate& a, const Candidate& b) const {
      return a.order != b.order ? a.order > b.order : a.left > b.left;
    }
  };

  template <typename Lookup>
  void consider(uint32_t left, uint32_t right, const Lookup& lookup, uint64_t& steps) {
    ++steps;
    const std::optional<MergeResult<Order>> result = lookup(symbols_[left], symbols_[right]);
    if (!result) return;
    heap_.push_back(
        {result->order, left, right, symbols_[left].length + symbols_[right].length, result->id});
    std::push_heap(heap_.begin(), heap_.end(), Later());
  }

  std::vector<MergeSymbol> symbols_;
  std::vector<Candidate> heap_;
};

}  // namespace quern::tokenizer
