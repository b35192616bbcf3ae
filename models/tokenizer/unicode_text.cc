// Decoding and property lookup; the rules of well-formedness are spelled out once, here.
#include "models/tokenizer/unicode_text.h"

#include <utf8proc.h>

#include <array>

#include "config/base/check.h"

namespace quern::tokenizer {
namespace {

// Our names in the order of the library's numbers.
constexpr bool same(utf8proc_category_t theirs, Category ours) {
  return static_cast<unsigned>(theirs) == static_cast<unsigned>(ours);
}
static_assert(same(UTF8PROC_CATEGORY_CN, kCn) && same(UTF8PROC_CATEGORY_LU, kLu) &&
              same(UTF8PROC_CATEGORY_LO, kLo) && same(UTF8PROC_CATEGORY_ME, kMe) &&
              same(UTF8PROC_CATEGORY_NO, kNo) && same(UTF8PROC_CATEGORY_PO, kPo) &&
              same(UTF8PROC_CATEGORY_SO, kSo) && same(UTF8PROC_CATEGORY_ZP, kZp) &&
              same(UTF8PROC_CATEGORY_CO, kCo));

constexpr bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

Traits look_up(char32_t code) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return (Traits{1} << static_cast<unsigned>(category)) | (is_white_space(code) ? kWhiteSpace : 0);
}

std::array<Traits, 128> make_ascii_traits() {
  std::array<Traits, 128> table{};
  for (char32_t c = 0; c < 128; ++c) table[c] = look_up(c);
  return table;
}

unsigned byte_at(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }

// The code point of a well-formed sequence of `length` bytes.
char32_t code_point(std::string_view text, size_t length) {
  const unsigned lead = byte_at(text, 0);
  if (length == 1) return lead;
  char32_t code = lead & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) code = (code << 6) | (byte_at(text, i) & 0x3F);
  return code;
}

}  // namespace

Traits traits_of(char32_t code) {
  static const std::array<Traits, 128> ascii = make_ascii_traits();
  if (code < 128) return ascii[code];
  return code == kInvalidByte ? 0 : look_up(code);
}

size_t utf8_sequence_length(std::string_view text) {
  if (text.empty()) return 0;
  const unsigned lead = byte_at(text, 0);
  if (lead < 0x80) return 1;
  size_t length = 0;
  unsigned low = 0x80, high = 0xBF;  // bounds of the second byte
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (text.size() < length || byte_at(text, 1) < low || byte_at(text, 1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte_at(text, i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

void append_utf8(char32_t code, std::string& out) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
    return;
  }
  const int extra = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  const unsigned mark = extra == 1 ? 0xC0 : extra == 2 ? 0xE0 : 0xF0;
  out.push_back(static_cast<char>(mark | (code >> (6 * extra))));
  for (int i = extra - 1; i >= 0; --i) {
    out.push_back(static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F)));
  }
}

CodeText decode_text(std::string_view text) {
  CHECK(text.size() < 0xFFFFFFFF);
  CodeText out;
  out.code.reserve(text.size());
  out.traits.reserve(text.size());
  out.offset.reserve(text.size() + 1);
  size_t at = 0;
  while (at < text.size()) {
    const std::string_view rest = text.substr(at);
    const size_t length = utf8_sequence_length(rest);
    const char32_t code = length == 0 ? kInvalidByte : code_point(rest, length);
    out.code.push_back(code);
    out.traits.push_back(traits_of(code));
    out.offset.push_back(static_cast<uint32_t>(at));
    at += length == 0 ? 1 : length;
  }
  out.offset.push_back(static_cast<uint32_t>(text.size()));
  return out;
}

}  // namespace quern::tokenizer
