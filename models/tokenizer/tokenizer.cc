// Ties the parts together: cut text at special tokens, encode the stretches between, decode.
#include "models/tokenizer/tokenizer.h"

#include <algorithm>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/byte_fallback.h"
#include "models/tokenizer/pretokenize.h"
#include "models/tokenizer/special_matcher.h"
#include "models/tokenizer/text_encoder.h"
#include "models/tokenizer/vocab_metadata.h"
#include "models/tokenizer/vocabulary.h"

namespace quern::tokenizer {
namespace {

Result<std::unique_ptr<const TextEncoder>> make_encoder(const Vocabulary& vocabulary,
                                                        const VocabData& data) {
  switch (data.family) {
    case Family::kSentencePiece:
      return make_piece_encoder(vocabulary, data);
    case Family::kByteLevel:
    case Family::kRawBpe:
      return make_bpe_encoder(vocabulary, data);
    case Family::kWordPiece:
      break;
  }
  return make_wordpiece_encoder(vocabulary, data);
}

// What the pre-tokenizer's models do where the file is silent.
Status apply_habits(VocabData& data) {
  if (data.family != Family::kByteLevel) return ok_status();
  QUERN_ASSIGN_OR_RETURN(const auto rule, Pretokenizer::create(data.pretokenizer));
  if (!data.add_bos && data.bos && rule->adds_bos()) data.add_bos = true;
  if (!data.add_eos && data.eos && rule->adds_eos()) data.add_eos = true;
  return ok_status();
}

Error text_too_long(size_t bytes) {
  return Error(ErrorKind::kInvalidInput,
               "text of " + std::to_string(bytes) + " bytes, expected at most " +
                   std::to_string(Tokenizer::kMaxTextBytes) + "; split it");
}

bool is_ascii_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string unescape_spaces(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at, kEscapedSpace.size()) == kEscapedSpace) {
      out.push_back(' ');
      at += kEscapedSpace.size();
    } else {
      out.push_back(text[at++]);
    }
  }
  return out;
}

}  // namespace

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_metadata(const gguf::Metadata& metadata) {
  QUERN_ASSIGN_OR_RETURN(VocabData data, vocab_from_metadata(metadata));
  return from_data(std::move(data));
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_data(VocabData data) {
  QUERN_RETURN_IF_ERROR(apply_habits(data));
  QUERN_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::create(data));
  std::shared_ptr<Tokenizer> out(new Tokenizer());
  out->vocabulary_ = std::make_unique<const Vocabulary>(std::move(vocabulary));
  QUERN_ASSIGN_OR_RETURN(SpecialMatcher matcher, SpecialMatcher::create(*out->vocabulary_));
  out->matcher_ = std::make_unique<const SpecialMatcher>(std::move(matcher));
  QUERN_ASSIGN_OR_RETURN(out->encoder_, make_encoder(*out->vocabulary_, data));
  return std::shared_ptr<const Tokenizer>(std::move(out));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text,
                                               SpecialParsing parsing) const {
  uint64_t steps = 0;
  return encode(text, parsing, steps);
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, SpecialParsing parsing,
                                               uint64_t& steps) const {
  return encode_runs(text, {{text.size(), parsing}}, steps);
}

Result<std::vector<TokenId>> Tokenizer::encode_parts(const std::vector<TextPart>& parts) const {
  std::string text;
  std::vector<Run> runs;
  for (const TextPart& part : parts) {
    if (part.text.size() > kMaxTextBytes - std::min(text.size(), kMaxTextBytes)) {
      return text_too_long(text.size() + part.text.size());
    }
    text += part.text;
    if (!runs.empty() && runs.back().parsing == part.parsing) {
      runs.back().end = text.size();
    } else {
      runs.push_back({text.size(), part.parsing});
    }
  }
  uint64_t steps = 0;
  return encode_runs(text, runs, steps);
}

Result<std::vector<TokenId>> Tokenizer::encode_runs(std::string_view text,
                                                    const std::vector<Run>& runs,
                                                    uint64_t& steps) const {
  if (text.size() > kMaxTextBytes) return text_too_long(text.size());
  const Vocabulary& vocabulary = *vocabulary_;
  std::vector<TokenId> out;
  bool begins = true;  // the next stretch of text gets the family's space prefix
  size_t stretch = 0;  // where it begins
  const auto flush = [&](size_t end) -> Status {
    if (stretch == end) return ok_status();
    const bool prefix = begins && vocabulary.add_space_prefix();
    begins = false;
    return encoder_->encode(text.substr(stretch, end - stretch), prefix, out, steps);
  };
  size_t at = 0;
  auto run = runs.begin();
  while (at < text.size()) {
    while (run->end <= at) ++run;
    const auto match = matcher_->match(text.substr(at, run->end - at), run->parsing, steps);
    if (!match) {
      ++at;
      continue;
    }
    QUERN_RETURN_IF_ERROR(flush(at));
    out.push_back(match->id);
    const std::string_view literal = text.substr(at, match->length);
    begins = !std::all_of(literal.begin(), literal.end(), is_ascii_space);
    at += match->length;
    const bool strips = vocabulary.control_eats_space_after() &&
                        vocabulary.kind(match->id) == TokenKind::kControl && literal != "<s>" &&
                        literal != "<unk>" && literal != "<|endoftext|>";
    while (strips && at < text.size() && is_ascii_space(text[at])) ++at;
    stretch = at;
  }
  QUERN_RETURN_IF_ERROR(flush(text.size()));
  return out;
}

int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(vocabulary_->size()); }
const SpecialTokens& Tokenizer::special() const { return vocabulary_->special(); }
bool Tokenizer::is_end_of_generation(TokenId id) const { return vocabulary_->ends_generation(id); }
const std::vector<TokenId>& Tokenizer::end_of_generation_tokens() const {
  return vocabulary_->end_tokens();
}

TokenKind Tokenizer::kind(TokenId id) const {
  CHECK(contains(id));
  return vocabulary_->kind(id);
}

std::string_view Tokenizer::text(TokenId id) const {
  CHECK(contains(id));
  return vocabulary_->text(id);
}

std::string Tokenizer::bytes(TokenId id, bool render_special) const {
  CHECK(contains(id));
  const std::string_view stored = vocabulary_->text(id);
  switch (vocabulary_->kind(id)) {
    case TokenKind::kControl:
    case TokenKind::kUnknown:
    case TokenKind::kUnused:
      return render_special ? std::string(stored) : std::string();
    case TokenKind::kByte: {
      // Vocabulary has checked the form <0xHH>.
      const auto digit = [&](size_t i) {
        const char c = stored[i];
        return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
      };
      return std::string(1, static_cast<char>(digit(3) * 16 + digit(4)));
    }
    case TokenKind::kUserDefined:
      // Added tokens are stored as they are written, not in the byte alphabet.
      if (vocabulary_->family() == Family::kByteLevel) return std::string(stored);
      break;
    case TokenKind::kNormal:
      if (vocabulary_->family() == Family::kByteLevel) return from_byte_alphabet(stored);
      break;
  }
  return unescape_spaces(stored);
}

std::optional<TokenId> Tokenizer::find(std::string_view stored_text) const {
  return vocabulary_->find(stored_text);
}

std::string_view Tokenizer::model_name() const { return vocabulary_->model_name(); }
std::string_view Tokenizer::pretokenizer_name() const { return vocabulary_->pretokenizer(); }

bool Tokenizer::drops_first_space() const {
  return vocabulary_->add_space_prefix() || vocabulary_->family() == Family::kWordPiece;
}

Result<std::string> Tokenizer::decode(const std::vector<TokenId>& ids, bool render_special) const {
  StreamDecoder decoder(*this, {.at_start_of_text = true, .render_special = render_special});
  std::string out;
  for (const TokenId id : ids) {
    if (!contains(id)) {
      return Error(ErrorKind::kInvalidInput, "token id " + std::to_string(id) + ", expected 0 to " +
                                                 std::to_string(vocab_size() - 1));
    }
    out += decoder.push(id);
  }
  out += decoder.finish();
  return out;
}

}  // namespace quern::tokenizer
