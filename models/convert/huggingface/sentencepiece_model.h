// Reads tokenizer.model, the protocol-buffer file of SentencePiece: pieces, scores, types, and what
// the normalizer does.
//
// A small reader of the wire format: fields are numbers with a type, unknown ones are skipped,
// every length is compared with what remains, groups are refused, nothing nests beyond the one
// message that is expected. Source: sentencepiece_model.proto of github.com/google/sentencepiece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"

namespace quern::huggingface {

struct SentencePieceModel {
  struct Piece {
    std::string text;
    float score = 0;
    // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte: as in GGUF files.
    int32_t type = 1;
  };
  std::vector<Piece> pieces;
  int32_t model_type = 1;  // 1 unigram, 2 BPE
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool has_rules = false;  // characters are replaced by a compiled map
};

// Errors: truncated, a length or a type of field that does not fit, more than 2^20 pieces.
Result<SentencePieceModel> parse_sentencepiece(std::span<const std::byte> bytes);

}  // namespace quern::huggingface
