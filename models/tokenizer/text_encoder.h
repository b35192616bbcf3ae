// The seam between the families: turns one stretch of text without special tokens into ids.
//
// Encoders are immutable after creation, refer to the vocabulary, and are used from many threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/vocab_data.h"
#include "models/tokenizer/vocabulary.h"

namespace quern::tokenizer {

class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  // Appends the ids of `text` to `out`. `space_prefix`: the text begins a passage, for families
  // that put a space there. `steps` grows with the work done (characters and pairs looked at).
  virtual Status encode(std::string_view text, bool space_prefix, std::vector<TokenId>& out,
                        uint64_t& steps) const = 0;
};

// `vocabulary` must outlive the encoder. `data` gives scores and merges and is not kept.
Result<std::unique_ptr<const TextEncoder>> make_piece_encoder(const Vocabulary& vocabulary,
                                                              const VocabData& data);
Result<std::unique_ptr<const TextEncoder>> make_bpe_encoder(const Vocabulary& vocabulary,
                                                            const VocabData& data);
Result<std::unique_ptr<const TextEncoder>> make_wordpiece_encoder(const Vocabulary& vocabulary,
                                                                  const VocabData& data);

}  // namespace quern::tokenizer
