// Finds tokens that are matched as a whole in text: control and user-defined ones.
//
// Leftmost, then longest, by a byte trie. Invariant: the work per position is at most the longest
// such token, which Vocabulary limits (kMaxSpecialBytes).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/vocabulary.h"

namespace quern::tokenizer {

class SpecialMatcher {
 public:
  struct Match {
    TokenId id;
    size_t length;  // bytes of text
  };

  // Error when a special token is longer than kMaxSpecialBytes.
  static Result<SpecialMatcher> create(const Vocabulary& vocabulary);

  // The longest token that starts at the first byte of `text`. `steps` counts bytes looked at.
  std::optional<Match> match(std::string_view text, SpecialParsing parsing, uint64_t& steps) const;

 private:
  SpecialMatcher() { heads_.fill(kNoNode); }
  void add(std::string_view text, TokenId id, bool in_user_text);

  static constexpr uint32_t kNoNode = 0xFFFFFFFF;
  static constexpr TokenId kNoToken = -1;
  struct Node {
    uint32_t child = kNoNode;
    uint32_t sibling = kNoNode;
    TokenId id = kNoToken;
    uint8_t byte = 0;
    bool in_user_text = false;
  };
  uint32_t find_in(uint32_t first, uint8_t byte) const;

  std::array<uint32_t, 256> heads_;
  std::vector<Node> nodes_;
};

}  // namespace quern::tokenizer
