// WordPiece as BERT does it: normalise, cut at white space, punctuation and CJK ideographs, then
// take the longest known piece from the left; a word that does not come out even is unknown.
// Vocabularies in GGUF mark the first piece of a word with U+2581 instead of the others with "##".
// Source: Devlin et al. 2018, tokenization.py (BasicTokenizer, WordpieceTokenizer).
#include <utf8proc.h>

#include <algorithm>

#include "models/tokenizer/byte_fallback.h"
#include "models/tokenizer/text_encoder.h"
#include "models/tokenizer/unicode_text.h"

namespace quern::tokenizer {
namespace {

// Longer words are unknown, as in the reference; it also bounds the work per character.
constexpr size_t kMaxWordCodes = 100;

bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_punctuation(char32_t c, Traits traits) {
  return (traits & kAnyPunctuation) != 0 || (c < 128 && (traits & kAnySymbol) != 0);
}

// Dropped without a trace: NUL, U+FFFD, control and format characters and private use, but neither
// unassigned code points nor the three controls that are white space to BERT.
bool is_dropped(char32_t c, Traits traits) {
  constexpr Traits kDropped =
      category_bit(kCc) | category_bit(kCf) | category_bit(kCo) | category_bit(kCs);
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return c == 0xFFFD || c == kInvalidByte || (traits & kDropped) != 0;
}

class WordPieceEncoder final : public TextEncoder {
 public:
  WordPieceEncoder(const Vocabulary& vocabulary, bool lowercase, bool strip_accents)
      : vocabulary_(vocabulary), lowercase_(lowercase), strip_accents_(strip_accents) {}

  Status encode(std::string_view text, bool /*space_prefix*/, std::vector<TokenId>& out,
                uint64_t& steps) const override {
    std::vector<char32_t> word;
    const CodeText codes = decode_text(text);
    for (size_t i = 0; i < codes.size(); ++i) {
      const char32_t code = codes.code[i];
      const Traits traits = codes.traits[i];
      if (is_dropped(code, traits)) continue;
      if ((traits & kWhiteSpace) != 0) {
        flush(word, out, steps);
      } else if (is_ideograph(code)) {
        flush(word, out, steps);
        normalise(code, word, out, steps);
        flush(word, out, steps);
      } else {
        normalise(code, word, out, steps);
      }
    }
    flush(word, out, steps);
    return ok_status();
  }

 private:
  // Appends the normal form of `code` to `word`, ending words where punctuation stands alone.
  void normalise(char32_t code, std::vector<char32_t>& word, std::vector<TokenId>& out,
                 uint64_t& steps) const {
    // No code point decomposes into more than 4 (canonical decomposition, Unicode 15).
    utf8proc_int32_t parts[8] = {static_cast<utf8proc_int32_t>(code)};
    utf8proc_ssize_t n = 1;
    if (strip_accents_) {
      int boundary = 0;
      n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts, 8, UTF8PROC_DECOMPOSE,
                                  &boundary);
    }
    for (utf8proc_ssize_t i = 0; i < n && i < 8; ++i) {
      auto part = static_cast<char32_t>(parts[i]);
      const Traits traits = traits_of(part);
      if (strip_accents_ && (traits & category_bit(kMn)) != 0) continue;
      if (lowercase_) {
        part = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(part)));
      }
      if (is_punctuation(part, traits)) {
        flush(word, out, steps);
        word.push_back(part);
        flush(word, out, steps);
      } else {
        word.push_back(part);
      }
    }
  }

  void flush(std::vector<char32_t>& word, std::vector<TokenId>& out, uint64_t& steps) const {
    if (word.empty()) return;
    const size_t first = out.size();
    steps += word.size();
    if (word.size() > kMaxWordCodes || !append_pieces(word, out, steps)) {
      out.resize(first);
      if (vocabulary_.special().unk) out.push_back(*vocabulary_.special().unk);
    }
    word.clear();
  }

  bool append_pieces(const std::vector<char32_t>& word, std::vector<TokenId>& out,
                     uint64_t& steps) const {
    std::string text(kEscapedSpace);
    for (const char32_t code : word) append_utf8(code, text);
    for (size_t at = 0; at < text.size();) {
      size_t length = std::min(text.size() - at, vocabulary_.longest_text());
      std::optional<TokenId> id;
      for (; length > 0; --length) {
        ++steps;
        id = vocabulary_.find_plain(std::string_view(text).substr(at, length));
        if (id) break;
      }
      if (!id || (at == 0 && length <= kEscapedSpace.size())) return false;
      out.push_back(*id);
      at += length;
    }
    return true;
  }

  const Vocabulary& vocabulary_;
  bool lowercase_;
  bool strip_accents_;
};

}  // namespace

Result<std::unique_ptr<const TextEncoder>> make_wordpiece_encoder(const Vocabulary& vocabulary,
                                                                  const VocabData& data) {
  if (!vocabulary.special().unk) {
    return Error(ErrorKind::kInvalidInput,
                 "tokenizer.ggml.unknown_token_id is missing and no token is \"[UNK]\", expected "
                 "one of them in a WordPiece vocabulary; convert the model again");
  }
  return std::unique_ptr<const TextEncoder>(
      std::make_unique<WordPieceEncoder>(vocabulary, data.lowercase, data.strip_accents));
}

}  // namespace quern::tokenizer
