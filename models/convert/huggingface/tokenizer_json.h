// Reads tokenizer.json of the tokenizers library, the kinds that models/tokenizer computes.
//
// What a kind is called in a GGUF file is found by its content: the regular expressions of a
// byte-level tokenizer must be those of a named rule (models/tokenizer/pretokenize.inc), to the
// letter. Anything else in the file that would change a token is an error that says what is known.
// Source: github.com/huggingface/tokenizers, the serialized form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/base/json.h"
#include "config/base/result.h"

namespace quern::huggingface {

// A token beside the vocabulary, or one of it that is matched whole.
struct AddedToken {
  uint64_t id = 0;
  std::string text;
  bool special = false;
  bool strips_right = false;  // white space after it is not text
};

struct JsonTokenizer {
  bool byte_level = false;        // else SentencePiece-style: spaces as U+2581, byte fallback
  std::string pretokenizer;       // of byte_level: value of tokenizer.ggml.pre
  bool add_space_prefix = false;  // of the other kind
  std::vector<std::pair<std::string, uint64_t>> vocabulary;  // text, id
  std::vector<std::pair<std::string, std::string>> merges;   // best first
  std::vector<AddedToken> added;
  std::optional<std::string> unknown;
  // What the post-processor puts before and after a text; empty: nothing.
  std::vector<std::string> before;
  std::vector<std::string> after;
  bool has_template = false;
  std::vector<std::string> notes;
};

Result<JsonTokenizer> parse_tokenizer_json(const Json& json);

// Scores that make a SentencePiece encoder merge in the order of the ranks: minus the rank of the
// merge that yields the token. One per entry of the vocabulary, by its index. Error: when no scores
// can, because merges of two tokens alternate or a split of a token is no merge.
Result<std::vector<float>> scores_of_merges(const JsonTokenizer& tokenizer);

// "{id, content, special, rstrip}" objects of the list; shared with other files.
Result<AddedToken> parse_added_token(const Json& entry, uint64_t id);

}  // namespace quern::huggingface
