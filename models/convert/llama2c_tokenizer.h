// The tokenizer file of llama2.c as GGUF vocabulary keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "config/base/result.h"
#include "models/gguf/metadata.h"

namespace quern::convert {

// Reads `n_tokens` tokens and sets tokenizer.ggml.*: a SentencePiece vocabulary whose ids 0, 1, 2
// are <unk>, <s>, </s> and 3 to 258 are the bytes. Errors: truncated, trailing bytes, other ids,
// duplicates.
Status set_llama2c_vocabulary(std::span<const std::byte> bytes, uint64_t n_tokens,
                              gguf::Metadata& metadata);

}  // namespace quern::convert
