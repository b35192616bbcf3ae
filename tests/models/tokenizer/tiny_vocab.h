// Small hand-made vocabularies for tests that need no files.
#pragma once

#include <string>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/vocab_data.h"

namespace quern::tokenizer {

inline constexpr int32_t kFileNormal = 1, kFileUnknown = 2, kFileControl = 3, kFileUser = 4,
                         kFileByte = 6;

inline void add_token(VocabData& data, std::string text, int32_t type, float score = 0) {
  data.tokens.push_back(std::move(text));
  data.types.push_back(type);
  data.scores.push_back(score);
}

// <unk> <s> </s>, 256 byte tokens from id 3 on, then some pieces.
inline VocabData tiny_pieces() {
  VocabData data;
  data.family = Family::kSentencePiece;
  data.model_name = "llama";
  data.add_space_prefix = true;
  add_token(data, "<unk>", kFileUnknown);
  add_token(data, "<s>", kFileControl);
  add_token(data, "</s>", kFileControl);
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int b = 0; b < 256; ++b) {
    add_token(data, std::string("<0x") + kHex[b / 16] + kHex[b % 16] + ">", kFileByte);
  }
  float score = -1;
  for (const char* piece : {"he", "ll", "\u2581he", "llo", "\u2581hello", "\u2581", "h", "e", "l",
                            "o", "a", "aa", "aaaa", "\u2581\u2581", "<", "s", ">", "<s"}) {
    add_token(data, piece, kFileNormal, score--);
  }
  data.bos = 1;
  data.eos = 2;
  data.unk = 0;
  return data;
}

// The 256 letters of the byte alphabet (id = byte), a few merges, <|end|> as control.
inline VocabData tiny_bytes() {
  VocabData data;
  data.family = Family::kByteLevel;
  data.model_name = "gpt2";
  data.pretokenizer = "gpt-2";
  for (int b = 0; b < 256; ++b) {
    add_token(data, to_byte_alphabet(std::string(1, static_cast<char>(b))), kFileNormal);
  }
  for (const char* merge : {"a a", "aa aa", "h e", "l l", "he ll"}) {
    const std::string pair = merge;
    const size_t space = pair.find(' ');
    add_token(data, pair.substr(0, space) + pair.substr(space + 1), kFileNormal);
    data.merges.push_back(pair);
  }
  add_token(data, "<|end|>", kFileControl);
  data.eos = data.tokens.size() - 1;
  return data;
}

inline VocabData tiny_words() {
  VocabData data;
  data.family = Family::kWordPiece;
  data.model_name = "bert";
  for (const char* name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    add_token(data, name, kFileControl);
  }
  for (const char* piece : {"\u2581hello", "\u2581a", "a", "\u2581,", "\u2581caf", "e"}) {
    add_token(data, piece, kFileNormal);
  }
  data.unk = 1;
  return data;
}

}  // namespace quern::tokenizer
