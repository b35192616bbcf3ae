// The ranked merges of a BPE vocabulary: (left symbol, right symbol) to (rank, joint symbol).
//
// Symbols below the vocabulary's size are tokens; merges may also pass through texts that are not
// tokens (real files do), which get symbols above it. Immutable after create().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/result.h"
#include "models/tokenizer/merge_chain.h"
#include "models/tokenizer/vocabulary.h"

namespace quern::tokenizer {

class MergeTable {
 public:
  // Errors name the merge that is not two texts with one space between them. Of two equal merges
  // the first counts.
  static Result<MergeTable> create(const Vocabulary& vocabulary,
                                   const std::vector<std::string>& merges);

  // Symbol of a text, or kNoSymbol when neither a token nor part of a merge has it.
  uint32_t symbol(std::string_view text) const;
  std::optional<MergeResult<uint32_t>> find(uint32_t left, uint32_t right) const;
  // Merges with a side or a result that is not a token.
  size_t n_through_non_tokens() const { return n_through_non_tokens_; }

 private:
  explicit MergeTable(const Vocabulary& vocabulary) : vocabulary_(&vocabulary) {}
  uint32_t intern(std::string text);
  void insert(uint32_t left, uint32_t right, uint32_t rank, uint32_t joint);
  size_t first_slot(uint64_t key) const;

  struct Slot {
    uint64_t key = ~uint64_t{0};  // free; no pair of symbols has it
    uint32_t rank = 0;
    uint32_t joint = 0;
  };
  const Vocabulary* vocabulary_;
  std::vector<Slot> slots_;  // a power of two, at most half full
  std::unordered_map<std::string, uint32_t> extra_;
  size_t n_through_non_tokens_ = 0;
};

}  // namespace quern::tokenizer
