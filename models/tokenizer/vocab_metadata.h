// Reads a vocabulary out of GGUF metadata through its typed getters.
//
// Checks presence, types and the names of tokenizer and pre-tokenizer; what the values mean is
// Vocabulary's to check.
#pragma once

#include "config/base/result.h"
#include "models/gguf/metadata.h"
#include "models/tokenizer/vocab_data.h"

namespace quern::tokenizer {

Result<VocabData> vocab_from_metadata(const gguf::Metadata& metadata);

}  // namespace quern::tokenizer
