// Recursive only to the depth of the dialect (alternative, item, class), never over text.
#include "models/tokenizer/pattern_parser.h"

#include <array>
#include <limits>

#include "config/base/check.h"

namespace quern::tokenizer {
namespace {

constexpr size_t kUnbounded = std::numeric_limits<size_t>::max();

struct Property {
  std::string_view name;
  Traits traits;
};
constexpr Property kProperties[] = {
    {"L", kAnyLetter},         {"M", kAnyMark},           {"N", kAnyNumber},
    {"P", kAnyPunctuation},    {"S", kAnySymbol},         {"Lu", category_bit(kLu)},
    {"Ll", category_bit(kLl)}, {"Lt", category_bit(kLt)}, {"Lm", category_bit(kLm)},
    {"Lo", category_bit(kLo)},
};

// Script=Han, Unicode 15 (Scripts.txt).
const std::vector<std::pair<char32_t, char32_t>>& han_ranges() {
  static const std::vector<std::pair<char32_t, char32_t>> ranges = {
      {0x2E80, 0x2E99},   {0x2E9B, 0x2EF3},   {0x2F00, 0x2FD5},   {0x3005, 0x3005},
      {0x3007, 0x3007},   {0x3021, 0x3029},   {0x3038, 0x303B},   {0x3400, 0x4DBF},
      {0x4E00, 0x9FFF},   {0xF900, 0xFA6D},   {0xFA70, 0xFAD9},   {0x16FE2, 0x16FE3},
      {0x16FF0, 0x16FF1}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B739}, {0x2B740, 0x2B81D},
      {0x2B820, 0x2CEA1}, {0x2CEB0, 0x2EBE0}, {0x2F800, 0x2FA1D}, {0x30000, 0x3134A},
      {0x31350, 0x323AF}};
  return ranges;
}

}  // namespace

char32_t PatternParser::next() {
  CHECK(!done());
  return pattern_.code[at_++];
}

bool PatternParser::accept(std::string_view ascii) {
  if (pattern_.size() - at_ < ascii.size()) return false;
  for (size_t i = 0; i < ascii.size(); ++i) {
    if (pattern_.code[at_ + i] != static_cast<unsigned char>(ascii[i])) return false;
  }
  at_ += ascii.size();
  return true;
}

void PatternParser::expect(std::string_view ascii) { CHECK(accept(ascii)); }

std::vector<SplitPass::Alternative> PatternParser::parse() {
  std::vector<SplitPass::Alternative> alternatives(1);
  while (!done()) {
    if (accept("|")) {
      alternatives.emplace_back();
    } else {
      alternatives.back().push_back(parse_item());
    }
  }
  for (const auto& items : alternatives) CHECK(!items.empty());
  return alternatives;
}

SplitPass::Item PatternParser::parse_item() {
  SplitPass::Item item;
  if (accept("(?!\\S)")) {
    item.kind = SplitPass::ItemKind::kNoTextFollows;
  } else if (accept("$")) {
    item.kind = SplitPass::ItemKind::kEnd;
  } else if (accept("(?i:")) {
    return parse_words(true);
  } else if (accept("(?:")) {
    return parse_words(false);
  } else {
    if (accept("[")) {
      parse_class(item.chars);
    } else {
      const char32_t code = parse_member(item.chars);
      if (code != kInvalidByte) item.chars.add_range(code, code);
    }
    item.chars.finish();
    parse_quantifier(item);
  }
  return item;
}

SplitPass::Item PatternParser::parse_words(bool any_case) {
  SplitPass::Item item;
  item.kind = SplitPass::ItemKind::kWords;
  item.any_case = any_case;
  item.words.emplace_back();
  while (!accept(")")) {
    if (accept("|")) {
      item.words.emplace_back();
    } else {
      item.words.back().push_back(next());
    }
  }
  item.optional = accept("?");
  return item;
}

size_t PatternParser::parse_number() {
  size_t number = 0;
  CHECK(peek() >= '0' && peek() <= '9');
  while (peek() >= '0' && peek() <= '9') number = number * 10 + (next() - '0');
  return number;
}

void PatternParser::parse_quantifier(SplitPass::Item& item) {
  if (accept("?")) {
    item.min = 0;
  } else if (accept("*")) {
    item.min = 0;
    item.max = kUnbounded;
  } else if (accept("+")) {
    item.max = kUnbounded;
  } else if (accept("{")) {
    item.min = parse_number();
    item.max = accept(",") ? parse_number() : item.min;
    expect("}");
    CHECK(item.min <= item.max);
  }
}

void PatternParser::parse_class(CharClass& chars) {
  if (accept("^")) chars.set_negated();
  while (!accept("]")) {
    if (accept("&&[^\\p{Han}]")) {
      chars.exclude(han_ranges());
      continue;
    }
    const char32_t first = parse_member(chars);
    if (first == kInvalidByte) continue;
    char32_t last = first;
    if (peek() == '-' && at_ + 1 < pattern_.size() && pattern_.code[at_ + 1] != ']') {
      expect("-");
      last = parse_member(chars);
    }
    CHECK(first <= last && last != kInvalidByte);
    chars.add_range(first, last);
  }
}

char32_t PatternParser::parse_member(CharClass& chars) {
  const char32_t code = next();
  if (code != '\\') return code;
  const char32_t escaped = next();
  if (escaped == 'r') return '\r';
  if (escaped == 'n') return '\n';
  if (escaped == 't') return '\t';
  if (escaped == 's') {
    chars.add_traits(kWhiteSpace);
    return kInvalidByte;
  }
  if (escaped == 'S') {
    chars.add_traits(kWhiteSpace);
    chars.set_negated();
    return kInvalidByte;
  }
  if (escaped == 'd') {
    chars.add_traits(category_bit(kNd));
    return kInvalidByte;
  }
  if (escaped == 'p') {
    if (accept("{Han}")) {
      for (const auto& [first, last] : han_ranges()) chars.add_range(first, last);
      return kInvalidByte;
    }
    expect("{");
    std::string name;
    while (!accept("}")) name.push_back(static_cast<char>(next()));
    for (const Property& property : kProperties) {
      if (property.name != name) continue;
      chars.add_traits(property.traits);
      return kInvalidByte;
    }
    CHECK(false);
  }
  CHECK(escaped < 128 && (traits_of(escaped) & (kAnyPunctuation | kAnySymbol)) != 0);
  return escaped;
}

}  // namespace quern::tokenizer
