// The scanner: ordered alternatives, greedy items, backing off one character at a time.
#include "models/tokenizer/split_rule.h"

#include <algorithm>

#include "config/base/check.h"
#include "models/tokenizer/pattern_parser.h"

namespace quern::tokenizer {
namespace {

constexpr std::string_view kThreesIfWordEndsPattern = R"(\d{1,3}(?=(?:\d{3})*\b))";
constexpr std::string_view kThreesPattern = R"((?=(\d{3})+(?!\d)))";

bool in_ranges(const std::vector<std::pair<char32_t, char32_t>>& ranges, char32_t code) {
  return std::any_of(ranges.begin(), ranges.end(), [code](const auto& range) {
    return code >= range.first && code <= range.second;
  });
}

// Case-insensitive equality with a lower-case ASCII letter or apostrophe; U+017F folds to 's'.
bool folds_to(char32_t code, char32_t lower) {
  if (code >= 'A' && code <= 'Z') code += 'a' - 'A';
  return code == lower || (code == 0x17F && lower == 's');
}

// What \w means to Oniguruma, which the published tokenizers run on.
bool is_word_char(Traits traits) {
  return (traits & (kAnyLetter | kAnyMark | kAnyNumber | category_bit(kPc))) != 0;
}

}  // namespace

bool CharClass::contains_slow(char32_t code, Traits traits) const {
  const bool listed = (traits & traits_) != 0 || in_ranges(ranges_, code);
  return listed != negated_ && !in_ranges(excluded_, code);
}

void CharClass::finish() {
  for (char32_t code = 0; code < 128; ++code) {
    if (contains_slow(code, traits_of(code))) ascii_[code >> 6] |= uint64_t{1} << (code & 63);
  }
}

struct SplitPass::Scan {
  const CodeText& text;
  size_t limit;  // end of the fragment
  uint64_t& steps;
  size_t match_end = 0;
  // A run that was found not to reach the end: starting later inside it fails too.
  size_t barren_until = 0;
};

SplitPass::SplitPass(std::string_view pattern) {
  if (pattern == kThreesIfWordEndsPattern) {
    special_ = Special::kThreesIfWordEnds;
  } else if (pattern == kThreesPattern) {
    special_ = Special::kThrees;
  } else {
    const CodeText decoded = decode_text(pattern);
    alternatives_ = PatternParser(decoded).parse();
  }
}

// Depth is the number of items in an alternative, at most six.
bool SplitPass::match_item(Scan& scan, const Alternative& items, size_t index, size_t at) {
  if (index == items.size()) {
    scan.match_end = at;
    return true;
  }
  const Item& item = items[index];
  ++scan.steps;
  switch (item.kind) {
    case ItemKind::kNoTextFollows:
      return (at == scan.limit || (scan.text.traits[at] & kWhiteSpace) != 0) &&
             match_item(scan, items, index + 1, at);
    case ItemKind::kEnd:
      return at == scan.limit && match_item(scan, items, index + 1, at);
    case ItemKind::kWords:
      return match_words(scan, items, index, at);
    case ItemKind::kClass:
      break;
  }
  const size_t most = std::min(item.max, scan.limit - at);
  size_t count = 0;
  while (count < most &&
         item.chars.contains(scan.text.code[at + count], scan.text.traits[at + count])) {
    ++count;
  }
  scan.steps += count;
  if (count < item.min) return false;
  const bool must_reach_end = index + 1 < items.size() && items[index + 1].kind == ItemKind::kEnd;
  if (must_reach_end) {
    if (at + count != scan.limit) {
      scan.barren_until = at + count;
      return false;
    }
    return match_item(scan, items, index + 1, at + count);
  }
  for (size_t taken = count + 1; taken-- > item.min;) {
    if (match_item(scan, items, index + 1, at + taken)) return true;
  }
  return false;
}

bool SplitPass::match_words(Scan& scan, const Alternative& items, size_t index, size_t at) {
  const Item& item = items[index];
  for (const std::u32string& word : item.words) {
    if (scan.limit - at < word.size()) continue;
    size_t same = 0;
    while (same < word.size()) {
      const char32_t code = scan.text.code[at + same];
      if (item.any_case ? !folds_to(code, word[same]) : code != word[same]) break;
      ++same;
    }
    scan.steps += same;
    if (same == word.size() && match_item(scan, items, index + 1, at + same)) return true;
  }
  return item.optional && match_item(scan, items, index + 1, at);
}

void SplitPass::split(const CodeText& text, CodeRange fragment, std::vector<CodeRange>& out,
                      uint64_t& steps) const {
  if (special_ != Special::kNone) {
    split_digits(text, fragment, out, steps);
    return;
  }
  Scan scan{text, fragment.end, steps};
  size_t gap = fragment.begin;
  size_t at = fragment.begin;
  while (at < fragment.end) {
    bool found = false;
    if (at >= scan.barren_until) {
      for (const Alternative& items : alternatives_) {
        found = match_item(scan, items, 0, at) && scan.match_end > at;
        if (found) break;
      }
    }
    if (!found) {
      ++at;
      continue;
    }
    if (gap < at) out.push_back({gap, at});
    out.push_back({at, scan.match_end});
    at = gap = scan.match_end;
  }
  if (gap < fragment.end) out.push_back({gap, fragment.end});
}

void SplitPass::split_digits(const CodeText& text, CodeRange fragment, std::vector<CodeRange>& out,
                             uint64_t& steps) const {
  const auto is_digit = [&](size_t i) { return (text.traits[i] & category_bit(kNd)) != 0; };
  size_t gap = fragment.begin;
  const auto cut = [&](size_t at) {
    if (gap < at) out.push_back({gap, at});
    gap = at;
  };
  size_t at = fragment.begin;
  while (at < fragment.end) {
    ++steps;
    if (!is_digit(at)) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < fragment.end && is_digit(end)) ++end;
    steps += end - at;
    const bool isolate = special_ == Special::kThreesIfWordEnds;
    if (!isolate || end == fragment.end || !is_word_char(text.traits[end])) {
      if (isolate) cut(at);
      for (size_t p = at + (end - at) % 3; p < end; p += 3) cut(p);
      if (isolate) cut(end);
    }
    at = end;
  }
  cut(fragment.end);
}

}  // namespace quern::tokenizer
