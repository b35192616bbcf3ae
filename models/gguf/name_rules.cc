// UTF-8 scanning after Unicode 15, table 3-7 (well-formed byte sequences).
#include "models/gguf/name_rules.h"

#include <cstdint>

namespace quern::gguf {
namespace {

// Length of the well-formed sequence at `at`, 0 when there is none; its code point in `point`.
size_t sequence_at(std::string_view text, size_t at, uint32_t& point) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) {
    point = lead;
    return 1;
  }
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() - at < length) return 0;
  point = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    point = point << 6 | (byte(i) & 0x3fu);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kSmallest[length] || point > 0x10ffff) return 0;
  if (point >= 0xd800 && point <= 0xdfff) return 0;
  return length;
}

// C0, DEL, C1, and the two Unicode line separators.
bool is_control(uint32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029;
}

void append_hex(std::string& out, uint8_t byte) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += "\\x";
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

}  // namespace

std::optional<std::string_view> name_fault(std::string_view name) {
  if (name.empty()) return "it is empty";
  uint32_t point = 0;
  for (size_t at = 0; at < name.size();) {
    const size_t length = sequence_at(name, at, point);
    if (length == 0) return "it is not valid UTF-8";
    if (point == 0) return "it contains a NUL byte";
    if (is_control(point)) return "it contains a control character";
    at += length;
  }
  return std::nullopt;
}

std::optional<std::string_view> tensor_name_fault(std::string_view name) {
  if (const auto fault = name_fault(name)) return fault;
  if (name.starts_with('/') || name.find("../") != std::string_view::npos ||
      name.find("..\\") != std::string_view::npos) {
    return "it looks like a path";
  }
  return std::nullopt;
}

bool is_valid_utf8(std::string_view text) {
  uint32_t point = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t length = sequence_at(text, at, point);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string printable(std::string_view text, size_t max_bytes) {
  std::string out;
  uint32_t point = 0;
  for (size_t at = 0; at < text.size();) {
    if (out.size() >= max_bytes) return out + "...";
    const size_t length = sequence_at(text, at, point);
    if (length == 0 || is_control(point)) {
      const size_t bad = length == 0 ? 1 : length;
      for (size_t i = 0; i < bad; ++i) append_hex(out, static_cast<uint8_t>(text[at + i]));
      at += bad;
    } else {
      out.append(text, at, length);
      at += length;
    }
  }
  return out;
}

}  // namespace quern::gguf
