// Building the trie from sorted texts.
#include "engine/grammar/token_trie.h"

#include <algorithm>
#include <numeric>

namespace quern::grammar {

std::shared_ptr<const TokenTrie> TokenTrie::build(const tokenizer::Tokenizer& tokenizer) {
  const auto n = static_cast<size_t>(tokenizer.vocab_size());
  std::vector<std::string> texts(n);
  for (size_t i = 0; i < n; ++i) {
    const auto id = static_cast<TokenId>(i);
    if (!tokenizer.is_end_of_generation(id)) texts[i] = tokenizer.bytes(id);
  }
  return build(texts, tokenizer.end_of_generation_tokens());
}

std::shared_ptr<const TokenTrie> TokenTrie::build(const std::vector<std::string>& texts,
                                                  std::vector<TokenId> end_tokens) {
  std::shared_ptr<TokenTrie> trie(new TokenTrie());
  trie->n_vocab_ = static_cast<int64_t>(texts.size());
  trie->end_tokens_ = std::move(end_tokens);
  trie->fill(texts);
  return trie;
}

void TokenTrie::fill(const std::vector<std::string>& texts) {
  text_begin_.reserve(texts.size() + 1);
  for (const std::string& text : texts) {
    text_begin_.push_back(static_cast<uint32_t>(text_.size()));
    text_ += text;
  }
  text_begin_.push_back(static_cast<uint32_t>(text_.size()));

  std::vector<TokenId> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](TokenId id) { return bytes_of(id).empty(); });
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    const int compared = bytes_of(a).compare(bytes_of(b));
    return compared != 0 ? compared < 0 : a < b;
  });

  const auto add_node = [this](uint8_t byte, uint32_t parent, uint32_t depth) {
    byte_.push_back(byte);
    size_.push_back(1);
    depth_.push_back(static_cast<uint16_t>(depth));
    parent_.push_back(parent);
    token_begin_.push_back(static_cast<uint32_t>(tokens_.size()));
    max_depth_ = std::max(max_depth_, depth);
    return static_cast<uint32_t>(byte_.size() - 1);
  };
  std::vector<uint32_t> path = {add_node(0, 0, 0)};  // nodes of the text before
  std::string_view before;
  for (const TokenId id : order) {
    const std::string_view text = bytes_of(id);
    const auto differ = std::mismatch(before.begin(), before.end(), text.begin(), text.end());
    path.resize(static_cast<size_t>(differ.first - before.begin()) + 1);
    for (size_t i = path.size() - 1; i < text.size(); ++i) {
      path.push_back(
          add_node(static_cast<uint8_t>(text[i]), path.back(), static_cast<uint32_t>(i + 1)));
    }
    tokens_.push_back(id);
    before = text;
  }
  token_begin_.push_back(static_cast<uint32_t>(tokens_.size()));
  for (uint32_t node = n_nodes() - 1; node > 0; --node) size_[parent_[node]] += size_[node];
  for (uint32_t node = 1; node < n_nodes(); node += size_[node]) root_child_[byte_[node]] = node;
}

}  // namespace quern::grammar
