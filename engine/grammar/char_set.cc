// Set arithmetic over ranges, and the splitting of ranges at the borders of UTF-8 lengths.
// Source of the encoding: RFC 3629.
#include "engine/grammar/char_set.h"

#include <algorithm>

namespace quern::grammar {
namespace {

constexpr CodeRange kSurrogates = {0xD800, 0xDFFF};
constexpr uint32_t kLastOfLength[] = {0x7F, 0x7FF, 0xFFFF, kMaxCodePoint};

// All code points of [low, high] have encodings of the same length.
void split_range(uint32_t low, uint32_t high, std::vector<ByteSequence>& out) {
  std::string first;
  append_utf8(low, first);
  const size_t length = first.size();
  // Cuts so that all bytes after the first that differs span a whole continuation block.
  while (low <= high) {
    uint32_t end = high;
    for (size_t tail = 1; tail < length; ++tail) {
      const uint32_t block = (uint32_t{1} << (6 * tail)) - 1;
      if ((low & ~block) == (end & ~block)) break;
      if ((low & block) != 0) {
        end = low | block;
        break;
      }
      if ((end & block) != block) end = (end & ~block) - 1;
    }
    std::string a;
    std::string b;
    append_utf8(low, a);
    append_utf8(end, b);
    ByteSequence sequence;
    for (size_t i = 0; i < length; ++i) {
      sequence.push_back({static_cast<uint8_t>(a[i]), static_cast<uint8_t>(b[i])});
    }
    out.push_back(std::move(sequence));
    if (end == high) break;
    low = end + 1;
  }
}

}  // namespace

CharSet::CharSet(std::vector<CodeRange> ranges) : ranges_(std::move(ranges)) { normalize(); }

CharSet CharSet::all() { return CharSet({{0, kMaxCodePoint}}); }

CharSet CharSet::of(std::string_view ascii) {
  std::vector<CodeRange> ranges;
  for (const char c : ascii) {
    const uint32_t code = static_cast<unsigned char>(c);
    ranges.push_back({code, code});
  }
  return CharSet(std::move(ranges));
}

void CharSet::normalize() {
  std::vector<CodeRange> valid;
  for (const CodeRange& range : ranges_) {
    const uint32_t high = std::min(range.high, kMaxCodePoint);
    if (range.low > high) continue;
    if (range.low < kSurrogates.low) {
      valid.push_back({range.low, std::min(high, kSurrogates.low - 1)});
    }
    if (high > kSurrogates.high) valid.push_back({std::max(range.low, kSurrogates.high + 1), high});
  }
  std::sort(valid.begin(), valid.end());
  ranges_.clear();
  for (const CodeRange& range : valid) {
    if (!ranges_.empty() && range.low <= ranges_.back().high + 1) {
      ranges_.back().high = std::max(ranges_.back().high, range.high);
    } else {
      ranges_.push_back(range);
    }
  }
}

bool CharSet::contains(uint32_t code) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), code,
                                      [](uint32_t c, const CodeRange& r) { return c < r.low; });
  return after != ranges_.begin() && code <= std::prev(after)->high;
}

uint64_t CharSet::size() const {
  uint64_t sum = 0;
  for (const CodeRange& range : ranges_) sum += range.high - range.low + 1;
  return sum;
}

CharSet CharSet::negated() const {
  std::vector<CodeRange> out;
  uint32_t next = 0;
  for (const CodeRange& range : ranges_) {
    if (range.low > next) out.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= kMaxCodePoint) out.push_back({next, kMaxCodePoint});
  return CharSet(std::move(out));
}

CharSet CharSet::united(const CharSet& other) const {
  std::vector<CodeRange> both = ranges_;
  both.insert(both.end(), other.ranges_.begin(), other.ranges_.end());
  return CharSet(std::move(both));
}

CharSet CharSet::without(const CharSet& other) const { return negated().united(other).negated(); }

CharSet CharSet::intersected(const CharSet& other) const {
  return negated().united(other.negated()).negated();
}

std::vector<ByteSequence> utf8_sequences(const CharSet& set) {
  std::vector<ByteSequence> out;
  for (const CodeRange& range : set.ranges()) {
    uint32_t low = range.low;
    for (const uint32_t last : kLastOfLength) {
      if (low > last || low > range.high) continue;
      const uint32_t high = std::min(range.high, last);
      split_range(low, high, out);
      low = high + 1;
    }
  }
  return out;
}

void append_utf8(uint32_t code, std::string& out) {
  const auto put = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

bool take_utf8(std::string_view& text, uint32_t& code) {
  if (text.empty()) return false;
  const auto lead = static_cast<unsigned char>(text[0]);
  size_t length = 1;
  uint32_t value = lead;
  uint32_t least = 0;
  if (lead >= 0xF0 && lead < 0xF5) {
    length = 4, value = lead & 0x07U, least = 0x10000;
  } else if (lead >= 0xE0 && lead < 0xF0) {
    length = 3, value = lead & 0x0FU, least = 0x800;
  } else if (lead >= 0xC2 && lead < 0xE0) {
    length = 2, value = lead & 0x1FU, least = 0x80;
  } else if (lead >= 0x80) {
    return false;
  }
  if (text.size() < length) return false;
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0U) != 0x80U) return false;
    value = (value << 6) | (byte & 0x3FU);
  }
  const bool surrogate = value >= kSurrogates.low && value <= kSurrogates.high;
  if (value < least || value > kMaxCodePoint || surrogate) return false;
  code = value;
  text.remove_prefix(length);
  return true;
}

}  // namespace quern::grammar
