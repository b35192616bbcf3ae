// Text as code points with their properties, kept together with the byte offsets they came from.
//
// Never loses a byte: one that is not part of a well-formed UTF-8 sequence becomes a code point of
// its own (kInvalidByte) with no properties. Properties are those of Unicode 15 (utf8proc tables).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quern::tokenizer {

inline constexpr char32_t kInvalidByte = 0xFFFFFFFF;

// Property bits of a code point: bit c for general category c in the order of the names below, and
// kWhiteSpace for the White_Space property.
using Traits = uint32_t;
inline constexpr Traits kWhiteSpace = Traits{1} << 30;
enum Category : uint8_t {
  kCn,
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kMn,
  kMc,
  kMe,
  kNd,
  kNl,
  kNo,
  kPc,
  kPd,
  kPs,
  kPe,
  kPi,
  kPf,
  kPo,
  kSm,
  kSc,
  kSk,
  kSo,
  kZs,
  kZl,
  kZp,
  kCc,
  kCf,
  kCs,
  kCo,
};
constexpr Traits category_bit(Category c) { return Traits{1} << c; }
inline constexpr Traits kAnyLetter = category_bit(kLu) | category_bit(kLl) | category_bit(kLt) |
                                     category_bit(kLm) | category_bit(kLo);
inline constexpr Traits kAnyMark = category_bit(kMn) | category_bit(kMc) | category_bit(kMe);
inline constexpr Traits kAnyNumber = category_bit(kNd) | category_bit(kNl) | category_bit(kNo);
inline constexpr Traits kAnyPunctuation = category_bit(kPc) | category_bit(kPd) |
                                          category_bit(kPs) | category_bit(kPe) |
                                          category_bit(kPi) | category_bit(kPf) | category_bit(kPo);
inline constexpr Traits kAnySymbol =
    category_bit(kSm) | category_bit(kSc) | category_bit(kSk) | category_bit(kSo);
Traits traits_of(char32_t code);  // 0 for kInvalidByte

// Length of the well-formed UTF-8 sequence that `text` begins with, or 0 if there is none
// (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
size_t utf8_sequence_length(std::string_view text);

void append_utf8(char32_t code, std::string& out);  // precondition: a Unicode scalar value

struct CodeText {
  std::vector<char32_t> code;
  std::vector<Traits> traits;    // as many
  std::vector<uint32_t> offset;  // one more; byte range of code i is [offset[i], offset[i + 1])

  size_t size() const { return code.size(); }
};

// Precondition: fewer than 4 GiB of text.
CodeText decode_text(std::string_view text);

}  // namespace quern::tokenizer
