// Walks over the bytes of a GGUF header: every read is checked against what remains.
//
// Reads each byte once and copies it out, so that a file that changes under the mapping cannot pass
// a check with one value and be used with another. Leaves meaning to the parser.
// Invariant: offset() <= size of the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/checked.h"
#include "config/base/result.h"

namespace quern::gguf {

// "FIELD at byte N: WHAT; the file is truncated: download it again" and the like. Three causes, so
// that the reader of the message knows whether a download, a conversion or an update helps.
Error truncated_error(std::string_view field, uint64_t offset, std::string_view what);
Error corrupt_error(std::string_view field, uint64_t offset, std::string_view what);
Error unsupported_error(std::string_view field, uint64_t offset, std::string_view what);

class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t offset() const { return at_; }
  uint64_t remaining() const { return bytes_.size() - at_; }

  // One little-endian number.
  template <typename T>
  Result<T> read(std::string_view field) {
    if (remaining() < sizeof(T)) return too_short(field, sizeof(T));
    const T value = load_unaligned<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return value;
  }

  // A u64 length and that many bytes. `limit` bounds the length before anything is allocated.
  Status read_string(std::string& out, std::string_view field, uint64_t limit);

  // Exactly `n` bytes.
  Status read_bytes(std::string& out, uint64_t n, std::string_view field);

  // `n` numbers in one copy.
  template <typename T>
  Status read_numbers(std::vector<T>& out, uint64_t n, std::string_view field) {
    const auto size = checked_mul(n, sizeof(T));
    if (!size || *size > remaining()) return too_short(field, size.value_or(UINT64_MAX));
    out.resize(n);
    if (n != 0) std::memcpy(out.data(), bytes_.data() + at_, *size);
    at_ += *size;
    return ok_status();
  }

 private:
  Error too_short(std::string_view field, uint64_t needed) const;

  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
};

}  // namespace quern::gguf
