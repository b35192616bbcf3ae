// llama2.c stores SentencePiece pieces decoded: the word mark as a space, BOS and EOS between
// newlines. Both are undone here, since GGUF keeps pieces as SentencePiece does.
#include "models/convert/llama2c_tokenizer.h"

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "models/gguf/cursor.h"
#include "models/gguf/name_rules.h"
#include "models/gguf/token_type.h"

namespace quern::convert {
namespace {

constexpr auto kNormal = static_cast<int32_t>(gguf::TokenType::kNormal);
constexpr auto kUnknown = static_cast<int32_t>(gguf::TokenType::kUnknown);
constexpr auto kControl = static_cast<int32_t>(gguf::TokenType::kControl);
constexpr auto kByte = static_cast<int32_t>(gguf::TokenType::kByte);

constexpr uint64_t kUnkId = 0;
constexpr uint64_t kBosId = 1;
constexpr uint64_t kEosId = 2;
constexpr uint64_t kFirstByteId = 3;
constexpr uint64_t kFirstNormalId = kFirstByteId + 256;

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> types;
};

std::string byte_piece(uint64_t byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
}

std::string with_word_marks(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ') {
      out += "\xe2\x96\x81";  // U+2581
    } else {
      out += c;
    }
  }
  return out;
}

// The piece a special id must hold, in GGUF form.
std::string expected_special(uint64_t id) {
  if (id == kUnkId) return "<unk>";
  if (id == kBosId) return "<s>";
  if (id == kEosId) return "</s>";
  return byte_piece(id - kFirstByteId);
}

int32_t type_of(uint64_t id) {
  if (id == kUnkId) return kUnknown;
  if (id == kBosId || id == kEosId) return kControl;
  return id < kFirstNormalId ? kByte : kNormal;
}

Result<std::string> to_piece(uint64_t id, const std::string& stored) {
  if (id >= kFirstNormalId) return with_word_marks(stored);
  std::string expected = expected_special(id);
  const bool framed = stored == "\n" + expected + "\n" && (id == kBosId || id == kEosId);
  if (stored == expected || framed) return expected;
  return Error(ErrorKind::kInvalidInput, "token " + std::to_string(id) + " is '" +
                                             gguf::printable(stored) + "', expected '" + expected +
                                             "': this is not a llama2.c tokenizer");
}

Result<Vocabulary> read_vocabulary(gguf::Cursor& cursor, uint64_t n_tokens) {
  QUERN_RETURN_IF_ERROR(cursor.read<int32_t>("longest token"));
  constexpr uint64_t kMinTokenBytes = sizeof(float) + sizeof(int32_t);
  if (n_tokens > cursor.remaining() / kMinTokenBytes) {
    return gguf::truncated_error("tokens", cursor.offset(),
                                 std::to_string(n_tokens) + " tokens do not fit the " +
                                     std::to_string(cursor.remaining()) + " bytes that remain");
  }
  Vocabulary vocabulary;
  std::unordered_set<std::string> seen;
  std::string stored;
  for (uint64_t id = 0; id < n_tokens; ++id) {
    QUERN_ASSIGN_OR_RETURN(const float score, cursor.read<float>("token score"));
    const uint64_t offset = cursor.offset();
    QUERN_ASSIGN_OR_RETURN(const int32_t length, cursor.read<int32_t>("token length"));
    if (length < 0) {
      return gguf::corrupt_error("token length", offset, "is " + std::to_string(length));
    }
    QUERN_RETURN_IF_ERROR(cursor.read_bytes(stored, static_cast<uint64_t>(length), "token"));
    QUERN_ASSIGN_OR_RETURN(std::string piece, to_piece(id, stored));
    if (!seen.insert(piece).second) {
      return gguf::corrupt_error("token", offset, "'" + gguf::printable(piece) + "' appears twice");
    }
    vocabulary.tokens.push_back(std::move(piece));
    vocabulary.scores.push_back(score);
    vocabulary.types.push_back(type_of(id));
  }
  if (cursor.remaining() != 0) {
    return gguf::corrupt_error("end", cursor.offset(),
                               std::to_string(cursor.remaining()) +
                                   " bytes follow the last token, so the vocabulary size is wrong");
  }
  return vocabulary;
}

}  // namespace

Status set_llama2c_vocabulary(std::span<const std::byte> bytes, uint64_t n_tokens,
                              gguf::Metadata& metadata) {
  gguf::Cursor cursor(bytes);
  QUERN_ASSIGN_OR_RETURN(Vocabulary vocabulary, read_vocabulary(cursor, n_tokens));
  metadata.set("tokenizer.ggml.model", std::string("llama"));
  metadata.set("tokenizer.ggml.tokens", std::move(vocabulary.tokens));
  metadata.set("tokenizer.ggml.scores", std::move(vocabulary.scores));
  metadata.set("tokenizer.ggml.token_type", std::move(vocabulary.types));
  metadata.set("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(kUnkId));
  metadata.set("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(kBosId));
  metadata.set("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(kEosId));
  // These models separate texts by BOS alone, so it also ends a generation.
  metadata.set("tokenizer.ggml.eot_token_id", static_cast<uint32_t>(kBosId));
  metadata.set("tokenizer.ggml.add_bos_token", true);
  metadata.set("tokenizer.ggml.add_space_prefix", true);
  return ok_status();
}

}  // namespace quern::convert
