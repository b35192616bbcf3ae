// The tokens of a vocabulary by id, while it is put together from several files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/result.h"
#include "models/gguf/metadata.h"
#include "models/gguf/token_type.h"

namespace quern::huggingface {

using gguf::TokenType;

class TokenList {
 public:
  // n_tokens entries, all unused until they are set.
  explicit TokenList(uint64_t n_tokens);

  uint64_t size() const { return texts_.size(); }
  // Errors: an id outside the list, or one that another text has.
  Status set(uint64_t id, std::string text, TokenType type, float score = 0);
  std::optional<uint64_t> find(std::string_view text) const;
  const std::string& text(uint64_t id) const { return texts_[id]; }
  TokenType type(uint64_t id) const { return types_[id]; }
  // Sets tokens and types, and scores if asked; the list is void then.
  void move_to(gguf::Metadata& metadata, bool with_scores);

 private:
  std::vector<std::string> texts_;
  std::vector<TokenType> types_;
  std::vector<float> scores_;
  std::unordered_map<std::string, uint64_t> ids_;  // of those that are set
};

}  // namespace quern::huggingface
