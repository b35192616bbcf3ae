// Table look-ups behind unicode.h.
#include "models/chat/unicode.h"

#include <algorithm>
#include <span>

namespace quern::chat {
namespace {

struct CodeRange {
  uint32_t first;
  uint32_t last;
};

// Code points first, first + stride, ..., last map to themselves plus delta.
struct CaseRun {
  uint32_t first;
  uint32_t last;
  uint32_t stride;
  int32_t delta;
};

struct CaseExpansion {
  uint32_t code_point;
  uint32_t to[3];  // zero-filled
};

#include "models/chat/unicode_tables.inc"

bool in_ranges(std::span<const CodeRange> ranges, char32_t c) {
  const auto it = std::lower_bound(ranges.begin(), ranges.end(), c,
                                   [](const CodeRange& r, char32_t at) { return r.last < at; });
  return it != ranges.end() && it->first <= c;
}

void append_case(std::string& out, char32_t c, std::span<const CaseRun> runs,
                 std::span<const CaseExpansion> full) {
  const auto expansion =
      std::lower_bound(full.begin(), full.end(), c,
                       [](const CaseExpansion& e, char32_t at) { return e.code_point < at; });
  if (expansion != full.end() && expansion->code_point == c) {
    for (const uint32_t to : expansion->to) {
      if (to != 0) append_utf8(out, to);
    }
    return;
  }
  // Runs with stride 2 interleave (upper and lower alternate), so the last few candidates count.
  auto run = std::upper_bound(runs.begin(), runs.end(), c,
                              [](char32_t at, const CaseRun& r) { return at < r.first; });
  for (int tries = 0; tries < 3 && run != runs.begin(); ++tries) {
    --run;
    if (c <= run->last && (c - run->first) % run->stride == 0) {
      append_utf8(out, static_cast<char32_t>(static_cast<int64_t>(c) + run->delta));
      return;
    }
  }
  append_utf8(out, c);
}

size_t sequence_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(at);
  const size_t length = lead < 0x80                   ? 1
                        : lead >= 0xC2 && lead < 0xE0 ? 2
                        : lead >= 0xE0 && lead < 0xF0 ? 3
                        : lead >= 0xF0 && lead < 0xF5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size() - at) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

char32_t next_code_point(std::string_view text, size_t& position) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[position + i]); };
  const size_t length = sequence_length(text, position);
  char32_t c = 0;
  switch (length) {
    case 1:
      c = byte(0);
      break;
    case 2:
      c = (byte(0) & 0x1Fu) << 6 | (byte(1) & 0x3Fu);
      break;
    case 3:
      c = (byte(0) & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
      break;
    case 4:
      c = (byte(0) & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 |
          (byte(3) & 0x3Fu);
      break;
    default:
      break;
  }
  const bool valid = length != 0 && !(length == 3 && (c < 0x800 || (c >= 0xD800 && c < 0xE000))) &&
                     !(length == 4 && (c < 0x10000 || c > 0x10FFFF));
  if (!valid) return 0xDC00u + static_cast<unsigned char>(text[position++]);
  position += length;
  return c;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c >= 0xDC80 && c < 0xDD00) {
    put(c - 0xDC00);  // a byte that was not UTF-8
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) next_code_point(text, at);
  return count;
}

size_t byte_position(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) next_code_point(text, at);
  return at;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_printable(char32_t c) { return in_ranges(kPrintable, c); }
bool is_alpha(char32_t c) { return in_ranges(kAlpha, c); }
bool is_digit(char32_t c) { return in_ranges(kDigit, c); }
bool is_alnum(char32_t c) { return in_ranges(kAlpha, c) || in_ranges(kNumeric, c); }
bool is_upper(char32_t c) { return in_ranges(kUpper, c); }
bool is_lower(char32_t c) { return in_ranges(kLower, c); }

void append_mapped(std::string& out, char32_t c, CaseMap map) {
  switch (map) {
    case CaseMap::kUpper:
      return append_case(out, c, kToUpperRuns, kToUpperFull);
    case CaseMap::kLower:
      return append_case(out, c, kToLowerRuns, kToLowerFull);
    case CaseMap::kTitle:
      return append_case(out, c, kToTitleRuns, kToTitleFull);
  }
}

}  // namespace quern::chat
