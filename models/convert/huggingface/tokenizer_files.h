// The tokenizer of a model folder as tokenizer.ggml.* keys.
//
// tokenizer.json is what counts. Where it is of SentencePiece's kind and tokenizer.model lies
// beside it with the same pieces, the scores come from there; tokenizer.model alone does too.
// Special tokens: tokenizer_config.json, special_tokens_map.json, config.json and
// generation_config.json. Chat template: chat_template.jinja or tokenizer_config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/base/json.h"
#include "config/base/result.h"
#include "models/gguf/metadata.h"

namespace quern::huggingface {

// `config` is config.json. The list of tokens gets n_vocab entries; ids that no file names become
// unused tokens "[PADn]". `notes` gets what a GGUF file cannot say. Errors name the file; what is
// set passes Tokenizer::from_metadata.
Status set_tokenizer(const std::filesystem::path& folder, const Json& config, uint64_t n_vocab,
                     gguf::Metadata& metadata, std::vector<std::string>& notes);

}  // namespace quern::huggingface
