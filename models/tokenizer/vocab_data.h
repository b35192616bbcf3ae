// A vocabulary as plain data: what a GGUF file says, before anything is believed.
//
// Filled by vocab_metadata.h, by converters and by tests; Vocabulary::create validates it. Numbers
// in comments are those of the files (GGUF specification, tokenizer.ggml.*).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.h"

namespace quern::tokenizer {

// How text becomes tokens.
enum class Family : uint8_t {
  kSentencePiece,  // "llama": merges by score over characters, byte fallback
  kByteLevel,      // "gpt2": merges by rank over bytes inside pre-tokenizer words
  kRawBpe,         // "gemma4": merges by rank over characters, spaces escaped, byte fallback
  kWordPiece,      // "bert": longest match inside normalised words
};

// Limits on what a file may contain. The largest vocabularies in use have 262 Ki tokens of at most
// a few hundred bytes and 515 Ki merges.
inline constexpr size_t kMaxTokens = size_t{1} << 20;
inline constexpr size_t kMaxTokenBytes = size_t{16} << 10;
inline constexpr size_t kMaxSpecialBytes = 1024;  // of a token that is matched in text
inline constexpr size_t kMaxMerges = size_t{4} << 20;

struct VocabData {
  Family family = Family::kByteLevel;
  std::string model_name;    // tokenizer.ggml.model
  std::string pretokenizer;  // tokenizer.ggml.pre; kByteLevel only
  std::vector<std::string> tokens;
  std::vector<float> scores;        // kSentencePiece: one per token; others: ignored
  std::vector<int32_t> types;       // 0 undefined, 1 normal, 2 unknown, 3 control, 4 user-defined,
                                    // 5 unused, 6 byte; empty: derived from texts and ids
  std::vector<std::string> merges;  // "left right", best first; the two BPE families

  // Ids as in the file; checked against the number of tokens by Vocabulary::create.
  std::optional<uint64_t> bos, eos, eot, eom, unk, pad, sep, cls, mask;
  std::optional<bool> add_bos, add_eos, add_sep;

  bool add_space_prefix = false;          // kSentencePiece: a space goes before the text
  bool lowercase = true;                  // kWordPiece
  bool strip_accents = true;              // kWordPiece
  bool control_eats_space_after = false;  // Phi-3: white space after a control token is not text
};

}  // namespace quern::tokenizer
