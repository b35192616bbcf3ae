// Validation of a vocabulary, in the order texts, kinds, special ids, byte tokens, roles.
#include "models/tokenizer/vocabulary.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "models/gguf/token_type.h"
#include "models/tokenizer/steering.h"

namespace quern::tokenizer {
namespace {

Error invalid(std::string message) { return Error(ErrorKind::kInvalidInput, std::move(message)); }

// "token 17 (\"text\")" with the text cut short.
std::string token_label(size_t id, std::string_view text) {
  return "token " + std::to_string(id) + " (\"" + std::string(text.substr(0, 40)) + "\")";
}

// The byte of a text that is exactly <0xHH>.
std::optional<uint8_t> byte_of_text(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return std::nullopt;
  uint8_t byte = 0;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
  if (error != std::errc() || end != text.data() + 5) return std::nullopt;
  return byte;
}

std::optional<TokenKind> kind_of_number(int32_t number) {
  using gguf::TokenType;
  if (number == 0) return TokenKind::kNormal;  // not said
  switch (static_cast<TokenType>(number)) {
    case TokenType::kNormal:
      return TokenKind::kNormal;
    case TokenType::kUnknown:
      return TokenKind::kUnknown;
    case TokenType::kControl:
      return TokenKind::kControl;
    case TokenType::kUserDefined:
      return TokenKind::kUserDefined;
    case TokenType::kUnused:
      return TokenKind::kUnused;
    case TokenType::kByte:
      return TokenKind::kByte;
  }
  return std::nullopt;
}

bool is_merging_by_character(Family family) {
  return family == Family::kSentencePiece || family == Family::kRawBpe;
}

}  // namespace

Result<Vocabulary> Vocabulary::create(const VocabData& data) {
  Vocabulary out;
  out.family_ = data.family;
  out.model_name_ = data.model_name;
  out.pretokenizer_ = data.pretokenizer;
  out.add_space_prefix_ = data.add_space_prefix;
  out.control_eats_space_after_ = data.control_eats_space_after;
  QUERN_RETURN_IF_ERROR(out.load_texts(data));
  QUERN_RETURN_IF_ERROR(out.load_special(data));
  QUERN_RETURN_IF_ERROR(out.load_kinds(data));
  QUERN_RETURN_IF_ERROR(out.load_byte_tokens());
  out.find_end_tokens(data);
  out.classify();
  return out;
}

std::optional<TokenId> Vocabulary::find(std::string_view text) const {
  const auto id =
      index_.find(text, [this](uint32_t i) { return this->text(static_cast<TokenId>(i)); });
  if (!id) return std::nullopt;
  return static_cast<TokenId>(*id);
}

std::optional<TokenId> Vocabulary::find_plain(std::string_view text) const {
  const auto id = find(text);
  return id && is_plain(*id) ? id : std::nullopt;
}

Status Vocabulary::load_texts(const VocabData& data) {
  const size_t n = data.tokens.size();
  if (n == 0 || n > kMaxTokens) {
    return invalid("tokenizer.ggml.tokens has " + std::to_string(n) + " entries, expected 1 to " +
                   std::to_string(kMaxTokens) + "; the file is damaged or not a language model");
  }
  size_t total = 0;
  for (size_t i = 0; i < n; ++i) {
    const std::string& text = data.tokens[i];
    if (text.size() > kMaxTokenBytes) {
      return invalid("tokenizer.ggml.tokens: " + token_label(i, text) + " is " +
                     std::to_string(text.size()) + " bytes long, expected at most " +
                     std::to_string(kMaxTokenBytes) + "; convert the model again");
    }
    total += text.size();
    longest_text_ = std::max(longest_text_, text.size());
  }
  arena_.reserve(total);
  offsets_.reserve(n + 1);
  index_ = TextIndex(n);
  const auto text_of = [this](uint32_t i) { return this->text(static_cast<TokenId>(i)); };
  for (size_t i = 0; i < n; ++i) {
    offsets_.push_back(arena_.size());
    arena_.append(data.tokens[i]);
  }
  offsets_.push_back(arena_.size());
  for (size_t i = 0; i < n; ++i) {
    if (data.tokens[i].empty()) continue;  // found in real files; can never be produced by text
    const auto other = index_.insert(data.tokens[i], static_cast<uint32_t>(i), text_of);
    if (other) {
      return invalid("tokenizer.ggml.tokens: duplicate " + token_label(*other, data.tokens[i]) +
                     " and token " + std::to_string(i) +
                     ", expected every text once; convert the model again");
    }
  }
  return ok_status();
}

Status Vocabulary::load_kinds(const VocabData& data) {
  const size_t n = data.tokens.size();
  if (data.family == Family::kSentencePiece) {
    if (data.scores.size() != n) {
      return invalid("tokenizer.ggml.scores has " + std::to_string(data.scores.size()) +
                     " entries, expected one for each of the " + std::to_string(n) +
                     " tokens; convert the model again");
    }
    for (size_t i = 0; i < n; ++i) {
      if (std::isnan(data.scores[i])) {
        return invalid("tokenizer.ggml.scores: " + token_label(i, data.tokens[i]) +
                       " has the score NaN, expected a number; convert the model again");
      }
    }
  }
  if (!data.types.empty() && data.types.size() != n) {
    return invalid("tokenizer.ggml.token_type has " + std::to_string(data.types.size()) +
                   " entries, expected one for each of the " + std::to_string(n) +
                   " tokens; convert the model again");
  }
  kinds_.assign(n, TokenKind::kNormal);
  for (size_t i = 0; i < data.types.size(); ++i) {
    const auto kind = kind_of_number(data.types[i]);
    if (!kind) {
      return invalid("tokenizer.ggml.token_type: " + token_label(i, data.tokens[i]) +
                     " has the type " + std::to_string(data.types[i]) +
                     ", expected 0 to 6; convert the model again");
    }
    kinds_[i] = *kind;
  }
  if (data.types.empty()) {
    for (size_t i = 0; i < n && is_merging_by_character(family_); ++i) {
      if (byte_of_text(data.tokens[i])) kinds_[i] = TokenKind::kByte;
    }
    for (const auto& id : {special_.bos, special_.eos, special_.sep, special_.cls, special_.mask}) {
      if (id) kinds_[static_cast<size_t>(*id)] = TokenKind::kControl;
    }
    if (special_.unk) kinds_[static_cast<size_t>(*special_.unk)] = TokenKind::kUnknown;
  }
  return ok_status();
}

Status Vocabulary::load_special(const VocabData& data) {
  struct Entry {
    const char* key;
    const std::optional<uint64_t>& value;
    std::optional<TokenId>& field;
    const char* usual;  // text of the token where the file names none
    bool needed;        // false: nothing reads it, and real files name tokens they do not have
  };
  const bool pieces = family_ == Family::kSentencePiece;
  const bool words = family_ == Family::kWordPiece;
  const Entry entries[] = {
      {"bos_token_id", data.bos, special_.bos, pieces ? "<s>" : "", true},
      {"eos_token_id", data.eos, special_.eos, pieces ? "</s>" : "", true},
      {"eot_token_id", data.eot, special_.eot, "", true},
      {"unknown_token_id", data.unk, special_.unk,
       pieces  ? "<unk>"
       : words ? "[UNK]"
               : "",
       true},
      {"seperator_token_id", data.sep, special_.sep, words ? "[SEP]" : "", true},
      {"cls_token_id", data.cls, special_.cls, words ? "[CLS]" : "", true},
      {"padding_token_id", data.pad, special_.pad, words ? "[PAD]" : "", false},
      {"mask_token_id", data.mask, special_.mask, words ? "[MASK]" : "", false},
  };
  for (const Entry& entry : entries) {
    if (entry.value && *entry.value < size()) {
      entry.field = static_cast<TokenId>(*entry.value);
    } else if (entry.value && entry.needed) {
      return invalid(std::string("tokenizer.ggml.") + entry.key + " is " +
                     std::to_string(*entry.value) + ", expected less than the " +
                     std::to_string(size()) + " tokens; convert the model again");
    } else if (!entry.value && *entry.usual != '\0') {
      entry.field = find(entry.usual);
    }
  }
  if (words) {
    if (!special_.bos) special_.bos = special_.cls;
    if (!special_.eos) special_.eos = special_.sep;
  }
  const bool habit = pieces || words || family_ == Family::kRawBpe;
  special_.add_bos = data.add_bos.value_or(habit && special_.bos.has_value());
  special_.add_eos = data.add_eos.value_or(words && special_.eos.has_value()) ||
                     (words && data.add_sep.value_or(false));
  if (special_.add_bos && !special_.bos) {
    return invalid(
        "tokenizer.ggml.add_bos_token is true but tokenizer.ggml.bos_token_id is missing, expected "
        "both or neither; convert the model again");
  }
  if (special_.add_eos && !special_.eos) {
    return invalid(
        "tokenizer.ggml.add_eos_token is true but tokenizer.ggml.eos_token_id is missing, expected "
        "both or neither; convert the model again");
  }
  return ok_status();
}

Status Vocabulary::load_byte_tokens() {
  for (size_t i = 0; i < size(); ++i) {
    if (kinds_[i] != TokenKind::kByte) continue;
    const auto id = static_cast<TokenId>(i);
    const auto byte = byte_of_text(text(id));
    if (!byte) {
      return invalid("tokenizer.ggml.tokens: byte " + token_label(i, text(id)) +
                     " does not have the form <0xHH> with two hexadecimal digits; convert the "
                     "model again");
    }
    if (byte_tokens_[*byte]) {
      return invalid("tokenizer.ggml.tokens: " + token_label(i, text(id)) + " and token " +
                     std::to_string(*byte_tokens_[*byte]) +
                     " stand for the same byte, expected one token a byte; convert the model "
                     "again");
    }
    byte_tokens_[*byte] = id;
  }
  return ok_status();
}

void Vocabulary::find_end_tokens(const VocabData& data) {
  ends_.assign(size(), false);
  const auto mark = [this](const std::optional<TokenId>& id) {
    if (id) ends_[static_cast<size_t>(*id)] = true;
  };
  if (!special_.eot) {
    for (const char* name : {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>",
                             "<|END_OF_TURN_TOKEN|>", "[EOT]"}) {
      if (!special_.eot) special_.eot = find(name);
    }
  }
  mark(special_.eos);
  mark(special_.eot);
  if (data.eom && *data.eom < size()) mark(static_cast<TokenId>(*data.eom));
  for (size_t i = 0; i < size(); ++i) {
    const std::string_view name = text(static_cast<TokenId>(i));
    const bool by_name = is_end_name(name);
    const bool by_kind = name == "</s>" && kinds_[i] == TokenKind::kControl;
    if (by_name || by_kind) ends_[i] = true;
    // Many files mark them as ordinary tokens; the text then must not produce them.
    if (by_name && kinds_[i] != TokenKind::kByte) kinds_[i] = TokenKind::kControl;
  }
  // In these two formats <|end|> closes a message and other tokens close the answer.
  const bool harmony = find("<|return|>") && find("<|call|>");
  const bool solar = find("<|flush|>") && (find("<|call|>") || find("<|calls|>"));
  const auto end = find("<|end|>");
  if (end && (harmony || solar) && end != special_.eos) {
    ends_[static_cast<size_t>(*end)] = false;
    if (special_.eot == end) special_.eot.reset();
  }
  for (size_t i = 0; i < size(); ++i) {
    if (ends_[i]) end_tokens_.push_back(static_cast<TokenId>(i));
  }
}

void Vocabulary::classify() {
  // Where <bos> and <eos> exist, <s> and </s> are strikethrough tags of HTML.
  const bool html_s = find("<bos>") && find("<eos>");
  plain_.assign(size(), false);
  steers_.assign(size(), false);
  for (size_t i = 0; i < size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const std::string_view name = text(id);
    const bool tag = html_s && (name == "<s>" || name == "</s>");
    const bool named = id == special_.bos || id == special_.eos || id == special_.eot ||
                       id == special_.cls || id == special_.sep;
    const bool normal = kinds_[i] == TokenKind::kNormal;
    const bool user = kinds_[i] == TokenKind::kUserDefined;
    steers_[i] =
        !(normal || user) || (is_steering_name(name) && !tag) || (user && named) || ends_[i];
    plain_[i] =
        !name.empty() && !steers_[i] && (normal || (user && is_merging_by_character(family_)));
  }
}

}  // namespace quern::tokenizer
