#include "models/convert/huggingface/token_list.h"

#include <utility>

#include "models/gguf/name_rules.h"

namespace quern::huggingface {

TokenList::TokenList(uint64_t n_tokens)
    : texts_(n_tokens), types_(n_tokens, TokenType::kUnused), scores_(n_tokens, 0.0F) {
  for (uint64_t id = 0; id < n_tokens; ++id) texts_[id] = "[PAD" + std::to_string(id) + "]";
}

Status TokenList::set(uint64_t id, std::string text, TokenType type, float score) {
  if (id >= size()) {
    return Error(ErrorKind::kInvalidInput,
                 "token '" + gguf::printable(text) + "' has the id " + std::to_string(id) +
                     ", but config.json has a vocab_size of " + std::to_string(size()) +
                     ": the files belong to different models");
  }
  const auto known = ids_.find(texts_[id]);
  if (known != ids_.end() && known->second == id && texts_[id] != text) {
    return Error(ErrorKind::kInvalidInput, "tokens '" + gguf::printable(texts_[id]) + "' and '" +
                                               gguf::printable(text) + "' both have the id " +
                                               std::to_string(id) +
                                               "; the file is damaged, get it again");
  }
  ids_[text] = id;
  texts_[id] = std::move(text);
  types_[id] = type;
  scores_[id] = score;
  return ok_status();
}

std::optional<uint64_t> TokenList::find(std::string_view text) const {
  const auto found = ids_.find(std::string(text));
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

void TokenList::move_to(gguf::Metadata& metadata, bool with_scores) {
  std::vector<int32_t> types;
  types.reserve(types_.size());
  for (const TokenType type : types_) types.push_back(static_cast<int32_t>(type));
  metadata.set("tokenizer.ggml.tokens", std::move(texts_));
  if (with_scores) metadata.set("tokenizer.ggml.scores", std::move(scores_));
  metadata.set("tokenizer.ggml.token_type", std::move(types));
}

}  // namespace quern::huggingface
