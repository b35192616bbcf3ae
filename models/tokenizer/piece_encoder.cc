// SentencePiece-style BPE: any two neighbours whose joint text is a token may merge, best score
// first; characters without a token fall back to bytes.
// Source: Kudo and Richardson 2018, section 3.1 (bpe model).
#include <vector>

#include "models/tokenizer/byte_fallback.h"
#include "models/tokenizer/merge_chain.h"
#include "models/tokenizer/text_encoder.h"
#include "models/tokenizer/unicode_text.h"

namespace quern::tokenizer {
namespace {

class PieceEncoder final : public TextEncoder {
 public:
  PieceEncoder(const Vocabulary& vocabulary, std::vector<float> scores)
      : vocabulary_(vocabulary), scores_(std::move(scores)) {}

  Status encode(std::string_view text, bool space_prefix, std::vector<TokenId>& out,
                uint64_t& steps) const override {
    const std::string escaped = escape_spaces(text, space_prefix);
    const std::string_view all = escaped;
    MergeChain<float> chain;
    chain.start();
    for (size_t at = 0; at < all.size();) {
      const size_t found = utf8_sequence_length(all.substr(at));
      const size_t length = found == 0 ? 1 : found;
      const auto id = vocabulary_.find_plain(all.substr(at, length));
      chain.add(static_cast<uint32_t>(at), static_cast<uint32_t>(length),
                id ? static_cast<uint32_t>(*id) : kNoSymbol);
      at += length;
    }
    chain.merge(
        [&](const MergeSymbol& left,
            const MergeSymbol& right) -> std::optional<MergeResult<float>> {
          const size_t length = size_t{left.length} + right.length;
          if (length > vocabulary_.longest_text()) return std::nullopt;
          const auto id = vocabulary_.find_plain(all.substr(left.begin, length));
          if (!id) return std::nullopt;
          return MergeResult<float>{-scores_[static_cast<size_t>(*id)], static_cast<uint32_t>(*id)};
        },
        steps);
    Status status;
    chain.for_each([&](const MergeSymbol& symbol) {
      if (symbol.id != kNoSymbol) {
        out.push_back(static_cast<TokenId>(symbol.id));
      } else if (status.ok()) {
        status = append_byte_tokens(vocabulary_, all.substr(symbol.begin, symbol.length), out);
      }
    });
    return status;
  }

 private:
  const Vocabulary& vocabulary_;
  std::vector<float> scores_;
};

}  // namespace

Result<std::unique_ptr<const TextEncoder>> make_piece_encoder(const Vocabulary& vocabulary,
                                                              const VocabData& data) {
  return std::unique_ptr<const TextEncoder>(
      std::make_unique<PieceEncoder>(vocabulary, data.scores));
}

}  // namespace quern::tokenizer
