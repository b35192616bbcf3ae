// A made-up SentencePiece vocabulary of any size, so that a random model can be loaded, prompted
// and sampled from.
#pragma once

#include <cstdint>

#include "models/gguf/metadata.h"

namespace quern::convert {

// The smallest vocabulary: <unk>, <s>, </s>, 256 bytes, the word mark.
inline constexpr int64_t kSmallestVocabulary = 260;

// Sets tokenizer.ggml.*: ids 0 to 2 are <unk>, <s>, </s>, 3 to 258 the bytes, then the word mark,
// the printable characters and all words over it and a to z in order of length, so that every word
// can be merged from shorter ones. n_tokens is at least kSmallestVocabulary.
void set_synthetic_vocabulary(int64_t n_tokens, gguf::Metadata& metadata);

}  // namespace quern::convert
