// BPE with ranked merges: over bytes inside pre-tokenizer words ("gpt2"), or over characters of
// text with escaped spaces ("gemma4").
// Source: Sennrich et al. 2016; Radford et al. 2019 (bytes).
#include <array>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/byte_fallback.h"
#include "models/tokenizer/merge_table.h"
#include "models/tokenizer/pretokenize.h"
#include "models/tokenizer/text_encoder.h"
#include "models/tokenizer/unicode_text.h"

namespace quern::tokenizer {
namespace {

using RankChain = MergeChain<uint32_t>;

// Symbols are tokens only if text may turn into them.
bool is_token(const Vocabulary& vocabulary, uint32_t symbol) {
  return symbol < vocabulary.size() && vocabulary.is_plain(static_cast<TokenId>(symbol));
}

class ByteLevelEncoder final : public TextEncoder {
 public:
  ByteLevelEncoder(const Vocabulary& vocabulary, MergeTable merges,
                   std::shared_ptr<const Pretokenizer> pretokenizer)
      : vocabulary_(vocabulary),
        merges_(std::move(merges)),
        pretokenizer_(std::move(pretokenizer)) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      std::string letter;
      append_utf8(letter_of_byte(static_cast<uint8_t>(byte)), letter);
      byte_symbols_[byte] = merges_.symbol(letter);
    }
  }

  Status encode(std::string_view text, bool /*space_prefix*/, std::vector<TokenId>& out,
                uint64_t& steps) const override {
    const CodeText codes = decode_text(text);
    RankChain chain;
    for (const CodeRange word : pretokenizer_->split(codes, steps)) {
      const size_t begin = codes.offset[word.begin];
      QUERN_RETURN_IF_ERROR(
          encode_word(text.substr(begin, codes.offset[word.end] - begin), chain, out, steps));
    }
    return ok_status();
  }

 private:
  Status encode_word(std::string_view word, RankChain& chain, std::vector<TokenId>& out,
                     uint64_t& steps) const {
    // A token of n bytes has at least n letters, of at most two bytes each.
    if (pretokenizer_->whole_words_first() && word.size() <= vocabulary_.longest_text()) {
      const auto id = vocabulary_.find_plain(to_byte_alphabet(word));
      if (id) {
        out.push_back(*id);
        return ok_status();
      }
    }
    chain.start();
    for (size_t i = 0; i < word.size(); ++i) {
      chain.add(static_cast<uint32_t>(i), 1, byte_symbols_[static_cast<uint8_t>(word[i])]);
    }
    chain.merge([this](const MergeSymbol& left,
                       const MergeSymbol& right) { return merges_.find(left.id, right.id); },
                steps);
    Status status;
    chain.for_each([&](const MergeSymbol& symbol) {
      if (is_token(vocabulary_, symbol.id)) {
        out.push_back(static_cast<TokenId>(symbol.id));
      } else if (status.ok()) {
        status = append_bytes(word.substr(symbol.begin, symbol.length), out);
      }
    });
    return status;
  }

  // The single-byte tokens of `bytes`. Vocabularies may lack tokens for bytes that never occur in
  // UTF-8; those become U+FFFD.
  Status append_bytes(std::string_view bytes, std::vector<TokenId>& out) const {
    constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
    for (const char c : bytes) {
      if (append_byte(c, out)) continue;
      bool replaced = true;
      for (const char r : kReplacement) replaced = replaced && append_byte(r, out);
      if (replaced) continue;
      const auto unknown = vocabulary_.special().unk;
      if (!unknown || vocabulary_.ends_generation(*unknown)) {
        return Error(ErrorKind::kInvalidInput,
                     "text: the vocabulary has no token for the byte " +
                         std::to_string(static_cast<uint8_t>(c)) +
                         " and no unknown token; leave the character out");
      }
      out.push_back(*unknown);
    }
    return ok_status();
  }

  bool append_byte(char c, std::vector<TokenId>& out) const {
    const uint32_t symbol = byte_symbols_[static_cast<uint8_t>(c)];
    if (!is_token(vocabulary_, symbol)) return false;
    out.push_back(static_cast<TokenId>(symbol));
    return true;
  }

  const Vocabulary& vocabulary_;
  MergeTable merges_;
  std::shared_ptr<const Pretokenizer> pretokenizer_;
  std::array<uint32_t, 256> byte_symbols_{};
};

class RawBpeEncoder final : public TextEncoder {
 public:
  RawBpeEncoder(const Vocabulary& vocabulary, MergeTable merges)
      : vocabulary_(vocabulary), merges_(std::move(merges)) {}

  Status encode(std::string_view text, bool space_prefix, std::vector<TokenId>& out,
                uint64_t& steps) const override {
    const std::string escaped = escape_spaces(text, space_prefix);
    const std::string_view all = escaped;
    RankChain chain;
    chain.start();
    for (size_t at = 0; at < all.size();) {
      const size_t found = utf8_sequence_length(all.substr(at));
      const size_t length = found == 0 ? 1 : found;
      chain.add(static_cast<uint32_t>(at), static_cast<uint32_t>(length),
                merges_.symbol(all.substr(at, length)));
      at += length;
    }
    chain.merge([this](const MergeSymbol& left,
                       const MergeSymbol& right) { return merges_.find(left.id, right.id); },
                steps);
    Status status;
    chain.for_each([&](const MergeSymbol& symbol) {
      if (is_token(vocabulary_, symbol.id)) {
        out.push_back(static_cast<TokenId>(symbol.id));
      } else if (status.ok()) {
        status = append_characters(all.substr(symbol.begin, symbol.length), out);
      }
    });
    return status;
  }

 private:
  Status append_characters(std::string_view text, std::vector<TokenId>& out) const {
    while (!text.empty()) {
      const size_t found = utf8_sequence_length(text);
      const std::string_view character = text.substr(0, found == 0 ? 1 : found);
      const auto id = vocabulary_.find_plain(character);
      if (id) {
        out.push_back(*id);
      } else {
        QUERN_RETURN_IF_ERROR(append_byte_tokens(vocabulary_, character, out));
      }
      text.remove_prefix(character.size());
    }
    return ok_status();
  }

  const Vocabulary& vocabulary_;
  MergeTable merges_;
};

}  // namespace

Result<std::unique_ptr<const TextEncoder>> make_bpe_encoder(const Vocabulary& vocabulary,
                                                            const VocabData& data) {
  QUERN_ASSIGN_OR_RETURN(MergeTable merges, MergeTable::create(vocabulary, data.merges));
  if (data.family == Family::kRawBpe) {
    return std::unique_ptr<const TextEncoder>(
        std::make_unique<RawBpeEncoder>(vocabulary, std::move(merges)));
  }
  QUERN_ASSIGN_OR_RETURN(auto pretokenizer, Pretokenizer::create(data.pretokenizer));
  return std::unique_ptr<const TextEncoder>(
      std::make_unique<ByteLevelEncoder>(vocabulary, std::move(merges), std::move(pretokenizer)));
}

}  // namespace quern::tokenizer
