// A validated vocabulary: texts, kinds, special ids, and which tokens text may turn into.
//
// Invariants after create(): every id named anywhere is a token; texts are unique (empty ones
// aside); byte tokens are well-formed and there is at most one per byte.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "models/tokenizer/text_index.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/vocab_data.h"

namespace quern::tokenizer {

class Vocabulary {
 public:
  // Errors name the array, the token and what was expected.
  static Result<Vocabulary> create(const VocabData& data);

  size_t size() const { return offsets_.empty() ? 0 : offsets_.size() - 1; }
  std::string_view text(TokenId id) const {
    const auto i = static_cast<size_t>(id);
    return std::string_view(arena_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }
  TokenKind kind(TokenId id) const { return kinds_[static_cast<size_t>(id)]; }
  std::optional<TokenId> find(std::string_view text) const;
  // The same, but only tokens that merging and matching may produce from text: never control,
  // unknown, unused or byte tokens, nor those that steer a conversation.
  std::optional<TokenId> find_plain(std::string_view text) const;
  bool is_plain(TokenId id) const { return plain_[static_cast<size_t>(id)]; }
  // Whether a token that is matched as a whole may be matched in what a user typed.
  bool steers(TokenId id) const { return steers_[static_cast<size_t>(id)]; }
  std::optional<TokenId> byte_token(uint8_t byte) const { return byte_tokens_[byte]; }

  const SpecialTokens& special() const { return special_; }
  bool ends_generation(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < size() && ends_[static_cast<size_t>(id)];
  }
  const std::vector<TokenId>& end_tokens() const { return end_tokens_; }

  Family family() const { return family_; }
  std::string_view model_name() const { return model_name_; }
  std::string_view pretokenizer() const { return pretokenizer_; }
  bool add_space_prefix() const { return add_space_prefix_; }
  bool control_eats_space_after() const { return control_eats_space_after_; }
  size_t longest_text() const { return longest_text_; }
  // Spaces are stored as U+2581.
  bool escapes_spaces() const { return family_ != Family::kByteLevel; }

 private:
  Vocabulary() : index_(0) {}
  Status load_texts(const VocabData& data);
  Status load_kinds(const VocabData& data);
  Status load_special(const VocabData& data);
  Status load_byte_tokens();
  void find_end_tokens(const VocabData& data);
  void classify();

  Family family_ = Family::kByteLevel;
  std::string model_name_;
  std::string pretokenizer_;
  bool add_space_prefix_ = false;
  bool control_eats_space_after_ = false;
  std::string arena_;
  std::vector<size_t> offsets_;
  size_t longest_text_ = 0;
  std::vector<TokenKind> kinds_;
  std::vector<bool> plain_;
  std::vector<bool> steers_;
  std::vector<bool> ends_;
  std::vector<TokenId> end_tokens_;
  SpecialTokens special_;
  std::array<std::optional<TokenId>, 256> byte_tokens_;
  TextIndex index_;
};

}  // namespace quern::tokenizer
