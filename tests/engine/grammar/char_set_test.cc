// Sets against brute force over all code points.
#include "engine/grammar/char_set.h"

#include <gtest/gtest.h>

namespace quern::grammar {
namespace {

bool sequences_accept(const std::vector<ByteSequence>& sequences, const std::string& bytes) {
  for (const ByteSequence& sequence : sequences) {
    if (sequence.size() != bytes.size()) continue;
    bool fits = true;
    for (size_t i = 0; i < bytes.size(); ++i) {
      const auto byte = static_cast<uint8_t>(bytes[i]);
      fits = fits && byte >= sequence[i].low && byte <= sequence[i].high;
    }
    if (fits) return true;
  }
  return false;
}

TEST(CharSetTest, SequencesCoverExactlyTheSet) {
  const std::vector<CharSet> sets = {
      CharSet::all(),
      CharSet({{0x20, 0x7E}}),
      CharSet({{0x7F, 0x80}, {0x7FE, 0x801}, {0xFFFE, 0x10001}}),
      CharSet({{0x800, 0x850}, {0x860, 0xFFF}, {0x1234, 0xABCD}}),
      CharSet({{0xD000, 0xE010}}),
      CharSet({{0x10000, 0x3FFFF}, {0x40001, 0x10FFFE}}),
      CharSet({{'a', 'z'}}).negated(),
  };
  for (const CharSet& set : sets) {
    const std::vector<ByteSequence> sequences = utf8_sequences(set);
    for (uint32_t code = 0; code <= kMaxCodePoint; code += code < 0x12000 ? 1 : 251) {
      if (code >= 0xD800 && code <= 0xDFFF) continue;
      std::string bytes;
      append_utf8(code, bytes);
      ASSERT_EQ(sequences_accept(sequences, bytes), set.contains(code)) << code;
    }
    // Leads are equal or disjoint.
    for (size_t i = 1; i < sequences.size(); ++i) {
      const ByteRange a = sequences[i - 1].front();
      const ByteRange b = sequences[i].front();
      EXPECT_TRUE(a == b || a.high < b.low);
    }
  }
}

TEST(CharSetTest, Arithmetic) {
  const CharSet letters({{'a', 'z'}});
  const CharSet vowels = CharSet::of("aeiou");
  EXPECT_EQ(letters.without(vowels).size(), 21U);
  EXPECT_EQ(letters.intersected(vowels), vowels);
  EXPECT_EQ(vowels.united(letters), letters);
  EXPECT_EQ(letters.negated().negated(), letters);
  EXPECT_TRUE(CharSet::all().negated().empty());
  EXPECT_FALSE(CharSet::all().contains(0xD800));
  EXPECT_TRUE(CharSet({{0xD800, 0xDFFF}}).empty());
  EXPECT_EQ(CharSet({{5, 3}}).size(), 0U);
}

TEST(CharSetTest, ReadsOnlyWellFormedCharacters) {
  uint32_t code = 0;
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xFF"}) {
    std::string_view text = bad;
    EXPECT_FALSE(take_utf8(text, code)) << bad;
  }
  for (const uint32_t good : {0x24U, 0xE9U, 0x20ACU, 0x1F600U, 0x10FFFFU}) {
    std::string bytes;
    append_utf8(good, bytes);
    std::string_view text = bytes;
    ASSERT_TRUE(take_utf8(text, code));
    EXPECT_EQ(code, good);
    EXPECT_TRUE(text.empty());
  }
}

}  // namespace
}  // namespace quern::grammar
