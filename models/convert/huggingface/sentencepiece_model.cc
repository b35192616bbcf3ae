#include "models/convert/huggingface/sentencepiece_model.h"

#include <bit>
#include <utility>

#include "config/base/checked.h"
#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

constexpr size_t kMaxPieces = size_t{1} << 20;

// Types of fields on the wire.
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kBytes = 2;
constexpr uint32_t kFixed32 = 5;

Error corrupt(const std::string& what) {
  return Error(ErrorKind::kInvalidInput,
               what + "; the file is damaged or no SentencePiece model: get it again");
}

struct Field {
  uint32_t number = 0;
  uint32_t type = 0;
  uint64_t value = 0;  // of the numeric types
  std::span<const std::byte> bytes;
};

class Message {
 public:
  explicit Message(std::span<const std::byte> bytes) : rest_(bytes) {}

  bool done() const { return rest_.empty(); }

  Result<Field> next() {
    QUERN_ASSIGN_OR_RETURN(const uint64_t key, varint());
    Field field;
    field.number = static_cast<uint32_t>(key >> 3);
    field.type = static_cast<uint32_t>(key & 7);
    if (key > UINT32_MAX || field.number == 0) return corrupt("a field has an impossible number");
    if (field.type == kVarint) {
      QUERN_ASSIGN_OR_RETURN(field.value, varint());
      return field;
    }
    uint64_t length = field.type == kFixed64 ? 8 : field.type == kFixed32 ? 4 : 0;
    if (field.type == kBytes) {
      QUERN_ASSIGN_OR_RETURN(length, varint());
    } else if (length == 0) {
      return corrupt("a field has the type " + std::to_string(field.type) +
                     ", expected 0, 1, 2 or 5");
    }
    if (length > rest_.size()) {
      return corrupt("a field of " + std::to_string(length) + " bytes reaches over the " +
                     std::to_string(rest_.size()) + " that remain");
    }
    field.bytes = rest_.first(length);
    rest_ = rest_.subspan(length);
    if (field.type == kFixed32) field.value = load_unaligned<uint32_t>(field.bytes.data());
    return field;
  }

 private:
  Result<uint64_t> varint() {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return corrupt("it ends inside a number");
      const auto byte = static_cast<uint64_t>(rest_.front());
      rest_ = rest_.subspan(1);
      value |= (byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return corrupt("a number is longer than ten bytes");
  }

  std::span<const std::byte> rest_;
};

// Calls take(field) for every field.
template <typename Take>
Status each_field(std::span<const std::byte> bytes, Take take) {
  Message message(bytes);
  while (!message.done()) {
    QUERN_ASSIGN_OR_RETURN(const Field field, message.next());
    QUERN_RETURN_IF_ERROR(take(field));
  }
  return ok_status();
}

Status read_piece(const Field& field, SentencePieceModel& model) {
  if (field.type != kBytes) return corrupt("a piece is no message");
  if (model.pieces.size() >= kMaxPieces) {
    return corrupt("it has more than " + std::to_string(kMaxPieces) + " pieces");
  }
  SentencePieceModel::Piece piece;
  QUERN_RETURN_IF_ERROR(each_field(field.bytes, [&](const Field& part) -> Status {
    if (part.number == 1 && part.type == kBytes) {
      piece.text.assign(reinterpret_cast<const char*>(part.bytes.data()), part.bytes.size());
    } else if (part.number == 2 && part.type == kFixed32) {
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(part.value));
    } else if (part.number == 3 && part.type == kVarint) {
      if (part.value < 1 || part.value > 6) {
        return corrupt("piece " + std::to_string(model.pieces.size()) + " has the type " +
                       std::to_string(part.value) + ", expected 1 to 6");
      }
      piece.type = static_cast<int32_t>(part.value);
    }
    return ok_status();
  }));
  if (!gguf::is_valid_utf8(piece.text)) {
    return corrupt("piece " + std::to_string(model.pieces.size()) + " is not UTF-8");
  }
  model.pieces.push_back(std::move(piece));
  return ok_status();
}

Status read_trainer(const Field& field, SentencePieceModel& model) {
  return each_field(field.bytes, [&](const Field& part) -> Status {
    if (part.number == 3 && part.type == kVarint) {
      model.model_type = static_cast<int32_t>(part.value & 0xFF);
    }
    return ok_status();
  });
}

Status read_normalizer(const Field& field, SentencePieceModel& model) {
  return each_field(field.bytes, [&](const Field& part) -> Status {
    if (part.number == 2) model.has_rules = !part.bytes.empty();
    if (part.number == 3) model.add_dummy_prefix = part.value != 0;
    if (part.number == 4) model.remove_extra_whitespaces = part.value != 0;
    return ok_status();
  });
}

}  // namespace

Result<SentencePieceModel> parse_sentencepiece(std::span<const std::byte> bytes) {
  SentencePieceModel model;
  QUERN_RETURN_IF_ERROR(each_field(bytes, [&](const Field& field) -> Status {
    if (field.number == 1) return read_piece(field, model);
    if (field.number == 2 && field.type == kBytes) return read_trainer(field, model);
    if (field.number == 3 && field.type == kBytes) return read_normalizer(field, model);
    return ok_status();
  }));
  if (model.pieces.empty()) return corrupt("it has no pieces");
  return model;
}

}  // namespace quern::huggingface
