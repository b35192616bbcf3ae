// Stop strings: see stop_matcher.h. Source of the automaton: Knuth, Morris, Pratt 1977.
#include "engine/sequence/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "config/base/check.h"

namespace quern::engine {

Status validate_stop_strings(std::span<const std::string> stops) {
  if (stops.size() > kMaxStopStrings) {
    return Error(ErrorKind::kInvalidInput, "stop holds " + std::to_string(stops.size()) +
                                               " strings; at most " +
                                               std::to_string(kMaxStopStrings) + " are allowed");
  }
  size_t total = 0;
  for (size_t i = 0; i < stops.size(); ++i) {
    const std::string where = "stop[" + std::to_string(i) + "]";
    if (stops[i].empty()) {
      return Error(ErrorKind::kInvalidInput, where + " is empty; leave it out");
    }
    if ((static_cast<unsigned char>(stops[i].front()) & 0xC0U) == 0x80U) {
      return Error(ErrorKind::kInvalidInput,
                   where + " begins inside a UTF-8 character; it must be UTF-8 text");
    }
    total += stops[i].size();
  }
  if (total > kMaxStopBytes) {
    return Error(ErrorKind::kInvalidInput, "the stop strings hold " + std::to_string(total) +
                                               " bytes together; at most " +
                                               std::to_string(kMaxStopBytes) + " are allowed");
  }
  return ok_status();
}

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  patterns_.reserve(stops.size());
  for (std::string& text : stops) {
    CHECK(!text.empty());
    Pattern pattern;
    pattern.border.assign(text.size(), 0);
    uint32_t length = 0;
    for (size_t i = 1; i < text.size(); ++i) {
      while (length > 0 && text[i] != text[length]) length = pattern.border[length - 1];
      if (text[i] == text[length]) ++length;
      pattern.border[i] = length;
    }
    pattern.text = std::move(text);
    patterns_.push_back(std::move(pattern));
  }
}

// True when `byte` completes the pattern.
bool StopMatcher::advance(Pattern& pattern, char byte) {
  while (pattern.state > 0 && pattern.text[pattern.state] != byte) {
    pattern.state = pattern.border[pattern.state - 1];
  }
  if (pattern.text[pattern.state] == byte) ++pattern.state;
  return pattern.state == pattern.text.size();
}

bool StopMatcher::push(std::string_view text, std::string& out) {
  CHECK(!matched());
  for (const char byte : text) {
    held_.push_back(byte);
    for (size_t i = 0; i < patterns_.size(); ++i) {
      if (!advance(patterns_[i], byte)) continue;
      if (!matched() || patterns_[i].text.size() > patterns_[match_].text.size()) match_ = i;
    }
    if (matched()) {
      out.append(held_, 0, held_.size() - patterns_[match_].text.size());
      held_.clear();
      return true;
    }
  }
  size_t hold = 0;
  for (const Pattern& pattern : patterns_) hold = std::max<size_t>(hold, pattern.state);
  out.append(held_, 0, held_.size() - hold);
  held_.erase(0, held_.size() - hold);
  return false;
}

void StopMatcher::finish(std::string& out) {
  out += held_;
  held_.clear();
}

std::string_view StopMatcher::match() const {
  return matched() ? std::string_view(patterns_[match_].text) : std::string_view();
}

}  // namespace quern::engine
