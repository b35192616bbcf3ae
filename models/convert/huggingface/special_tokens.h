// Which tokens begin, end and pad a text, and what a prompt gets around it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/base/json.h"
#include "config/base/result.h"
#include "models/convert/huggingface/token_list.h"
#include "models/gguf/metadata.h"

namespace quern::huggingface {

// The files that say so; those that are not there are null values.
struct SpecialTokenFiles {
  const Json& config;             // config.json
  const Json& tokenizer_config;   // tokenizer_config.json
  const Json& special_tokens;     // special_tokens_map.json
  const Json& generation_config;  // generation_config.json
};

// What the tokenizer itself puts around a text.
struct TextFrame {
  bool known = false;  // there is a template that says so
  std::vector<std::string> before;
  std::vector<std::string> after;
  bool usual_bos = false;  // when nothing says anything
};

// Sets tokenizer.ggml.*_token_id and add_bos_token, add_eos_token. A model may have more tokens
// that end an answer than the file has keys (eos, eot, eom): the rest is left to their names, or
// noted. Errors: a frame that is no BOS before and no EOS after the text.
Status set_special_tokens(const SpecialTokenFiles& files, const TextFrame& frame,
                          const TokenList& tokens, gguf::Metadata& metadata,
                          std::vector<std::string>& notes);

}  // namespace quern::huggingface
