// The numbers of the key tokenizer.ggml.token_type. Source: the GGUF specification.
#pragma once

#include <cstdint>

namespace quern::gguf {

enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

}  // namespace quern::gguf
