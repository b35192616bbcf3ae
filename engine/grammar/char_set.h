// Sets of Unicode code points as sorted ranges, and their UTF-8 forms as ranges of bytes.
//
// Invariant: ranges are sorted, disjoint and not adjacent; surrogates (U+D800 to U+DFFF) are never
// in a set, since no UTF-8 text holds them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quern::grammar {

inline constexpr uint32_t kMaxCodePoint = 0x10FFFF;

struct CodeRange {
  uint32_t low;
  uint32_t high;  // inclusive
  bool operator==(const CodeRange&) const = default;
  auto operator<=>(const CodeRange&) const = default;
};

class CharSet {
 public:
  CharSet() = default;
  // Any ranges, in any order; those beyond U+10FFFF are cut.
  explicit CharSet(std::vector<CodeRange> ranges);
  static CharSet all();
  static CharSet of(std::string_view ascii);

  const std::vector<CodeRange>& ranges() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }
  bool contains(uint32_t code) const;
  uint64_t size() const;  // code points
  CharSet negated() const;
  CharSet united(const CharSet& other) const;
  CharSet without(const CharSet& other) const;
  CharSet intersected(const CharSet& other) const;
  bool operator==(const CharSet&) const = default;
  auto operator<=>(const CharSet&) const = default;

 private:
  void normalize();

  std::vector<CodeRange> ranges_;
};

// Ranges of bytes, one per byte of an encoded character.
struct ByteRange {
  uint8_t low;
  uint8_t high;
  bool operator==(const ByteRange&) const = default;
};
using ByteSequence = std::vector<ByteRange>;  // 1 to 4

// The UTF-8 encodings of a set, ascending. First bytes of two sequences are equal or disjoint, and
// so are the rests of those that share one.
std::vector<ByteSequence> utf8_sequences(const CharSet& set);

// Appends the UTF-8 encoding. Precondition: code is a code point and no surrogate.
void append_utf8(uint32_t code, std::string& out);

// Reads one character off the front of `text`; false when it does not begin with well-formed UTF-8.
bool take_utf8(std::string_view& text, uint32_t& code);

}  // namespace quern::grammar
