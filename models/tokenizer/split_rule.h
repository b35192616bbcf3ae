// Splits text into words by the regular expressions that tokenizers publish, in linear time.
//
// Understands just the dialect those expressions are written in: alternatives that are flat
// sequences of character classes with greedy quantifiers, literal words, and (?!\S) or $ at the
// end. No nesting, no captures, no recursion over text. The patterns are constants of this program
// (pretokenize.inc), so a malformed one is a CHECK.
//
// Why it is linear: an alternative holds at most two unbounded quantifiers in a row, the second of
// which ends the match once its first character fits, so an attempt costs the length it looks at;
// and in every rule a failed look over a run of n characters is followed by an alternative that
// consumes that run. Tests count the steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/tokenizer/unicode_text.h"

namespace quern::tokenizer {

// A half-open range of code points.
struct CodeRange {
  size_t begin = 0;
  size_t end = 0;
};

// One set of characters: [^\r\n\p{L}], \s, 'x'.
class CharClass {
 public:
  bool contains(char32_t code, Traits traits) const {
    if (code < 128) return (ascii_[code >> 6] >> (code & 63)) & 1;
    return contains_slow(code, traits);
  }

  void add_traits(Traits traits) { traits_ |= traits; }
  void add_range(char32_t first, char32_t last) { ranges_.emplace_back(first, last); }
  void set_negated() { negated_ = true; }
  // Characters of [first, last] are taken out again, whatever else the class says (the published
  // form is [...&&[^\p{Han}]]).
  void exclude(const std::vector<std::pair<char32_t, char32_t>>& ranges) { excluded_ = ranges; }
  // To be called once all is added.
  void finish();

 private:
  bool contains_slow(char32_t code, Traits traits) const;

  Traits traits_ = 0;
  bool negated_ = false;
  std::vector<std::pair<char32_t, char32_t>> ranges_;
  std::vector<std::pair<char32_t, char32_t>> excluded_;
  uint64_t ascii_[2] = {0, 0};
};

// One regular expression applied as "isolate every match".
class SplitPass {
 public:
  explicit SplitPass(std::string_view pattern);

  // Appends the pieces of `fragment`: matches and the stretches between them, in order, none empty.
  // Matching sees nothing outside the fragment. `steps` grows by the number of characters looked
  // at.
  void split(const CodeText& text, CodeRange fragment, std::vector<CodeRange>& out,
             uint64_t& steps) const;

 private:
  friend class PatternParser;
  enum class ItemKind : uint8_t { kClass, kWords, kNoTextFollows, kEnd };
  struct Item {
    ItemKind kind = ItemKind::kClass;
    CharClass chars;
    size_t min = 1;
    size_t max = 1;
    std::vector<std::u32string> words;  // kWords: tried in order
    bool optional = false;              // kWords
    bool any_case = false;              // kWords: (?i:...)
  };
  using Alternative = std::vector<Item>;
  struct Scan;
  // Digits in threes counted from the right, which no flat pattern can say.
  enum class Special : uint8_t { kNone, kThreesIfWordEnds, kThrees };

  static bool match_item(Scan& scan, const Alternative& items, size_t index, size_t at);
  static bool match_words(Scan& scan, const Alternative& items, size_t index, size_t at);
  void split_digits(const CodeText& text, CodeRange fragment, std::vector<CodeRange>& out,
                    uint64_t& steps) const;

  Special special_ = Special::kNone;
  std::vector<Alternative> alternatives_;
};

}  // namespace quern::tokenizer
