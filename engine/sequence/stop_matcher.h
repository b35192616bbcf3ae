// Finds stop strings in a stream of text and holds back whatever might become one.
//
// Invariant: nothing that push() let out is part of a stop string's first occurrence, and
// everything else comes out in order and unchanged. One Knuth-Morris-Pratt automaton per stop
// string, so the work is linear in text times number of stop strings.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"

namespace quern::engine {

inline constexpr size_t kMaxStopStrings = 64;
inline constexpr size_t kMaxStopBytes = 16384;  // of all stop strings of a request together

// Errors (kInvalidInput): too many, too long, empty, or beginning inside a UTF-8 character (which
// could cut a character of the output in two).
Status validate_stop_strings(std::span<const std::string> stops);

class StopMatcher {
 public:
  // Precondition: `stops` passed validate_stop_strings().
  explicit StopMatcher(std::vector<std::string> stops);

  // Takes whole characters; appends to `out` what can no longer be part of a stop string. True once
  // a stop string is complete: the text before it is out, the rest is dropped. Of several that end
  // at the same byte the longest counts. Precondition: no match so far.
  bool push(std::string_view text, std::string& out);
  // The text is over: appends what was held back.
  void finish(std::string& out);

  bool matched() const { return match_ != kNone; }
  // The stop string found, or empty.
  std::string_view match() const;

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);

  struct Pattern {
    std::string text;
    std::vector<uint32_t> border;  // border[i]: longest proper border of the first i + 1 bytes
    uint32_t state = 0;            // bytes of `text` that end the text so far
  };

  static bool advance(Pattern& pattern, char byte);

  std::vector<Pattern> patterns_;
  std::string held_;
  size_t match_ = kNone;
};

}  // namespace quern::engine
