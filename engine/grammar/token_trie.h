// A vocabulary as a trie over bytes, laid out for one pass, and what runs of characters permit.
//
// Built once per tokenizer and immutable, apart from run tables, which are made on first use behind
// a lock. Holds only tokens that stand for bytes of text; tokens that end a generation are listed
// apart, all others (control, unknown, unused) are never permitted.
// Nodes are in depth-first order: the subtree of node i is [i, i + size(i)).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "config/base/result.h"
#include "engine/grammar/char_set.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::grammar {

using tokenizer::TokenId;

// Which tokens lie wholly inside a run of one class of characters, and where others leave it.
struct RunTable {
  // A way out of the run: node `node` is reached over `back` bytes of an unfinished character and
  // its own byte, after `chars` whole characters.
  struct Exit {
    uint32_t node;
    uint16_t chars;
    uint8_t back;
  };
  static constexpr uint8_t kOutside = 255;
  static constexpr uint8_t kMaxChars = 254;  // longer tokens count as leaving after that many

  std::vector<uint64_t> inside;       // bit per token id
  std::vector<uint8_t> chars;         // per token in trie order: characters begun, or kOutside
  std::vector<bool> on_path;          // per node: the path is whole characters of the class
  std::vector<TokenId> by_chars;      // tokens inside, by how many characters they begin
  std::array<uint32_t, 256> up_to{};  // how many of them begin at most so many
  std::array<std::vector<Exit>, 256> exits;  // by the byte of the node, ascending nodes
  uint8_t max_chars = 0;                     // of tokens inside and of ways out

  size_t bytes() const;
};

class TokenTrie {
 public:
  static std::shared_ptr<const TokenTrie> build(const tokenizer::Tokenizer& tokenizer);
  // From plain texts, for tests: empty ones are left out.
  static std::shared_ptr<const TokenTrie> build(const std::vector<std::string>& texts,
                                                std::vector<TokenId> end_tokens);

  int64_t n_vocab() const { return n_vocab_; }
  const std::vector<TokenId>& end_tokens() const { return end_tokens_; }
  // Bytes of a token; empty when it stands for none. Precondition: inside the vocabulary.
  std::string_view bytes_of(TokenId id) const {
    const auto i = static_cast<size_t>(id);
    return std::string_view(text_).substr(text_begin_[i], text_begin_[i + 1] - text_begin_[i]);
  }

  uint32_t n_nodes() const { return static_cast<uint32_t>(byte_.size()); }
  uint8_t byte(uint32_t node) const { return byte_[node]; }
  uint32_t size(uint32_t node) const { return size_[node]; }
  uint32_t depth(uint32_t node) const { return depth_[node]; }
  uint32_t parent(uint32_t node) const { return parent_[node]; }
  uint32_t max_depth() const { return max_depth_; }
  // Tokens that end at nodes from `node` on, in trie order; those of a subtree are consecutive.
  uint32_t first_token(uint32_t node) const { return token_begin_[node]; }
  TokenId token(uint32_t i) const { return tokens_[i]; }
  uint32_t n_tokens() const { return static_cast<uint32_t>(tokens_.size()); }
  // The child of the root with this byte, or 0.
  uint32_t root_child(uint8_t byte) const { return root_child_[byte]; }

  // Null when the class is too small to matter. Tables least recently asked for are forgotten.
  // Thread-safe.
  std::shared_ptr<const RunTable> run_table(const CharSet& set) const;

 private:
  TokenTrie() = default;
  void fill(const std::vector<std::string>& texts);
  std::shared_ptr<const RunTable> make_run_table(const CharSet& set) const;

  int64_t n_vocab_ = 0;
  std::vector<TokenId> end_tokens_;
  std::string text_;
  std::vector<uint32_t> text_begin_;
  std::vector<uint8_t> byte_;
  std::vector<uint32_t> size_;
  std::vector<uint16_t> depth_;
  std::vector<uint32_t> parent_;
  std::vector<uint32_t> token_begin_;  // [n_nodes + 1]
  std::vector<TokenId> tokens_;
  std::array<uint32_t, 256> root_child_{};
  uint32_t max_depth_ = 0;

  mutable std::mutex mutex_;
  struct KeptTable {
    std::shared_ptr<const RunTable> table;
    uint64_t used = 0;
  };
  mutable std::map<CharSet, KeptTable> run_tables_;
  mutable uint64_t uses_ = 0;
};

}  // namespace quern::grammar
