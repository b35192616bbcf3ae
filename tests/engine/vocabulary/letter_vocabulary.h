// A tiny byte-fallback vocabulary whose token ids are easy to write down in tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/vocab_data.h"

namespace quern::engine {

// Ids: 0 <unk>, 1 <s>, 2 </s> (ends a generation), 3 + b for byte b, then kWords in order.
inline constexpr tokenizer::TokenId kBos = 1;
inline constexpr tokenizer::TokenId kEos = 2;
inline constexpr tokenizer::TokenId kFirstByte = 3;
inline constexpr tokenizer::TokenId kFirstWord = kFirstByte + 256;
inline const std::vector<std::string>& letter_words() {
  static const std::vector<std::string> words = {
      "hello", "wor", "ld", "STO", "P", "aab", "\xE2\x96\x81the", "\xC3\xA9"};
  return words;
}

inline tokenizer::TokenId byte_token(unsigned char byte) { return kFirstByte + byte; }
inline tokenizer::TokenId word_token(const std::string& word) {
  for (size_t i = 0; i < letter_words().size(); ++i) {
    if (letter_words()[i] == word) return kFirstWord + static_cast<tokenizer::TokenId>(i);
  }
  return 0;
}
inline int64_t letter_vocabulary_size() {
  return kFirstWord + static_cast<int64_t>(letter_words().size());
}

// Null when the tokenizer refuses it, which fails the test that dereferences it.
inline std::shared_ptr<const tokenizer::Tokenizer> letter_tokenizer() {
  tokenizer::VocabData data;
  data.family = tokenizer::Family::kSentencePiece;
  data.model_name = "llama";
  const auto add = [&data](const std::string& text, int32_t type) {
    data.tokens.push_back(text);
    data.types.push_back(type);
    data.scores.push_back(-static_cast<float>(data.tokens.size()));
  };
  add("<unk>", 2);
  add("<s>", 3);
  add("</s>", 3);
  constexpr char kHex[] = "0123456789ABCDEF";
  for (size_t byte = 0; byte < 256; ++byte) {
    add(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">", 6);
  }
  for (const std::string& word : letter_words()) add(word, 1);
  data.unk = 0;
  data.bos = 1;
  data.eos = 2;
  data.add_space_prefix = true;
  auto built = tokenizer::Tokenizer::from_data(std::move(data));
  return built.ok() ? *built : nullptr;
}

}  // namespace quern::engine
