// Text to token ids and back, for the vocabularies that GGUF files carry.
//
// Three families: SentencePiece-style BPE ("llama"), byte-level BPE ("gpt2") with a named
// pre-tokenizer rule, WordPiece ("bert"). BOS/EOS placement and chat templates are left to the
// callers. A Tokenizer is immutable and may be used from any number of threads; encode() takes
// O(n log n) time for n bytes of any text, and user text cannot make a control token unless the
// caller asks for SpecialParsing::kParse.
// Sources: GGUF specification (tokenizer.ggml.*), Sennrich et al. 2016 (BPE), Kudo and Richardson
// 2018 (SentencePiece), Devlin et al. 2018 (WordPiece).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"

namespace quern::gguf {
class Metadata;
}  // namespace quern::gguf

namespace quern::tokenizer {

using TokenId = int32_t;

// What a token is for. Values are ours; see vocab_data.h for the numbers in files.
enum class TokenKind : uint8_t { kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };

// Ids named by the file (where it names none: found by their usual text). Those present are always
// inside the vocabulary. In WordPiece vocabularies bos and eos are also set, to cls and sep.
struct SpecialTokens {
  std::optional<TokenId> bos, eos, eot, unk, pad, sep, cls, mask;
  // What the model was trained with: whether a prompt begins with BOS and ends with EOS. When the
  // file is silent: the habit of the tokenizer family.
  bool add_bos = false;
  bool add_eos = false;
};

enum class SpecialParsing {
  // Literals of control tokens stay ordinary text. User-defined tokens that are plain text (runs of
  // newlines, HTML tags) are still found, since models are trained so; user-defined tokens that
  // steer a conversation ("</s>", "<|user|>", whatever ends a generation) are not.
  kText,
  // Control and user-defined tokens are recognised wherever their text occurs: for text made by a
  // chat template, never for what a user typed.
  kParse,
};

// A run of text and how far it is trusted. Borders of parts are not borders of tokens.
struct TextPart {
  std::string_view text;
  SpecialParsing parsing = SpecialParsing::kText;
};

struct VocabData;  // vocab_data.h: a vocabulary as plain data, for tests and converters
class Vocabulary;  // vocabulary.h
class SpecialMatcher;
class TextEncoder;

class Tokenizer {
 public:
  // Builds from the tokenizer.ggml.* keys. Errors (kInvalidInput, kUnsupported) name the key and
  // what was expected; nothing in the file is trusted. The metadata is not referenced afterwards.
  static Result<std::shared_ptr<const Tokenizer>> from_metadata(const gguf::Metadata& metadata);
  // The same from plain data.
  static Result<std::shared_ptr<const Tokenizer>> from_data(VocabData data);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Token ids of `text`, which may be any bytes: bytes that are not UTF-8 are kept (byte tokens)
  // where the vocabulary can express them. Appends nothing implicit: BOS/EOS are the caller's
  // business, see special(). Errors: text over kMaxTextBytes; bytes that the vocabulary has
  // neither a token nor an unknown token for.
  Result<std::vector<TokenId>> encode(std::string_view text, SpecialParsing parsing) const;
  // The same; `steps` grows by the work done (characters and pairs of symbols looked at), so that
  // tests can bound it without a clock.
  Result<std::vector<TokenId>> encode(std::string_view text, SpecialParsing parsing,
                                      uint64_t& steps) const;
  // Token ids of the parts' texts joined. A control token is recognised only where all of it lies
  // in kParse parts; text between two special tokens is encoded as one stretch, whatever parts it
  // comes from, so that a rendered template reads as if it had been one string.
  Result<std::vector<TokenId>> encode_parts(const std::vector<TextPart>& parts) const;
  static constexpr size_t kMaxTextBytes = size_t{64} << 20;

  int64_t vocab_size() const;
  const SpecialTokens& special() const;
  // True for every token after which an answer is over: EOS, EOT and their kin by name
  // (<|im_end|>, <|end|>, <end_of_turn>, <|eot_id|>, <|endoftext|>, ...). False outside the
  // vocabulary.
  bool is_end_of_generation(TokenId id) const;
  // All such tokens, ascending.
  const std::vector<TokenId>& end_of_generation_tokens() const;

  // Whether `id` names a token. The getters below require it.
  bool contains(TokenId id) const { return id >= 0 && id < vocab_size(); }
  TokenKind kind(TokenId id) const;
  // As stored in the vocabulary (U+2581 for a space, the byte alphabet of GPT-2); lives as long as
  // the tokenizer.
  std::string_view text(TokenId id) const;
  // The bytes the token stands for, possibly part of a UTF-8 sequence. Control, unknown and unused
  // tokens stand for nothing; with render_special for their stored text.
  std::string bytes(TokenId id, bool render_special = false) const;
  // The token stored under exactly this text.
  std::optional<TokenId> find(std::string_view stored_text) const;

  // Value of tokenizer.ggml.model ("llama", "gpt2", "bert") and the pre-tokenizer rule in use
  // (empty where the family has none); they live as long as the tokenizer.
  std::string_view model_name() const;
  std::string_view pretokenizer_name() const;

  // Whether encoding puts a space before the text, which decoding from the start drops again.
  bool drops_first_space() const;
  // Text of a whole sequence: StreamDecoder from the start of text. Ids outside the vocabulary
  // are an error.
  Result<std::string> decode(const std::vector<TokenId>& ids, bool render_special = false) const;

 private:
  // Text up to `end` (from the run before) is read in this way.
  struct Run {
    size_t end;
    SpecialParsing parsing;
  };

  Tokenizer();
  Result<std::vector<TokenId>> encode_runs(std::string_view text, const std::vector<Run>& runs,
                                           uint64_t& steps) const;
  std::unique_ptr<const Vocabulary> vocabulary_;
  std::unique_ptr<const SpecialMatcher> matcher_;
  std::unique_ptr<const TextEncoder> encoder_;
};

// Bytes to well-formed UTF-8, piece by piece: holds back an incomplete sequence at the end of its
// input, and replaces each maximal ill-formed subpart by one U+FFFD (Unicode 15, section 3.9,
// "U+FFFD substitution of maximal subparts"; the same as Python's errors="replace").
class Utf8Stream {
 public:
  // Appends the text that is complete now to `out`.
  void push(std::string_view bytes, std::string& out);
  // Appends U+FFFD if a sequence was cut short, and starts over.
  void finish(std::string& out);
  // Bytes held back: 0 to 3.
  size_t pending() const { return size_; }

 private:
  char held_[4] = {};
  size_t size_ = 0;
};

// Turns tokens into text piece by piece. The concatenation of all that push() and finish() return
// is the decoded text, and every part of it is well-formed UTF-8. Refers to the tokenizer, which
// must outlive it. One thread at a time.
class StreamDecoder {
 public:
  struct Options {
    // The tokens are the beginning of a text: the space that encoding put there is dropped. Off
    // when they continue a prompt.
    bool at_start_of_text = false;
    // Control tokens appear as their stored text.
    bool render_special = false;
  };

  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  StreamDecoder(const Tokenizer& tokenizer, Options options);

  // Text that became complete with this token; often empty. Precondition: tokenizer.contains(id).
  std::string push(TokenId id);
  // Whatever was held back; the decoder may then be used for another text.
  std::string finish();
  // Whether bytes of an unfinished character are held back.
  bool has_pending() const { return utf8_.pending() > 0; }

 private:
  const Tokenizer* tokenizer_;
  Options options_;
  bool drop_space_ = false;
  Utf8Stream utf8_;
};

}  // namespace quern::tokenizer
