// Out-of-line parts of Cursor and the wording of the three kinds of trouble.
#include "models/gguf/cursor.h"

namespace quern::gguf {
namespace {

std::string sentence(std::string_view field, uint64_t offset, std::string_view what,
                     std::string_view advice) {
  std::string text(field);
  text.append(" at byte ").append(std::to_string(offset)).append(": ").append(what);
  text.append("; ").append(advice);
  return text;
}

}  // namespace

Error truncated_error(std::string_view field, uint64_t offset, std::string_view what) {
  return Error(ErrorKind::kInvalidInput,
               sentence(field, offset, what, "the file is truncated: download it again"));
}

Error corrupt_error(std::string_view field, uint64_t offset, std::string_view what) {
  return Error(ErrorKind::kInvalidInput,
               sentence(field, offset, what,
                        "the file is corrupt: download it again or convert the model anew"));
}

Error unsupported_error(std::string_view field, uint64_t offset, std::string_view what) {
  return Error(ErrorKind::kUnsupported,
               sentence(field, offset, what,
                        "the file is not supported here: use another conversion of the model"));
}

Error Cursor::too_short(std::string_view field, uint64_t needed) const {
  return truncated_error(
      field, at_,
      "needs " + std::to_string(needed) + " bytes, " + std::to_string(remaining()) + " remain");
}

Status Cursor::read_string(std::string& out, std::string_view field, uint64_t limit) {
  const uint64_t start = at_;
  QUERN_ASSIGN_OR_RETURN(const uint64_t length, read<uint64_t>(field));
  if (length > limit) {
    return corrupt_error(field, start,
                         "its length " + std::to_string(length) + " exceeds the limit of " +
                             std::to_string(limit) + " bytes");
  }
  return read_bytes(out, length, field);
}

Status Cursor::read_bytes(std::string& out, uint64_t n, std::string_view field) {
  if (n > remaining()) return too_short(field, n);
  out.assign(reinterpret_cast<const char*>(bytes_.data() + at_), n);
  at_ += n;
  return ok_status();
}

}  // namespace quern::gguf
