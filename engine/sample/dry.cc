// Breakers and repetitions: see dry.h.
#include "engine/sample/dry.h"

#include <algorithm>

#include "config/base/check.h"

namespace quern::engine {

Status validate_dry_breakers(std::span<const std::string> breakers) {
  if (breakers.size() > kMaxDryBreakers) {
    return Error(ErrorKind::kInvalidInput,
                 "dry_sequence_breakers holds " + std::to_string(breakers.size()) +
                     " strings; at most " + std::to_string(kMaxDryBreakers) + " are allowed");
  }
  for (size_t i = 0; i < breakers.size(); ++i) {
    if (!breakers[i].empty() && breakers[i].size() <= kMaxDryBreakerBytes) continue;
    return Error(ErrorKind::kInvalidInput, "dry_sequence_breakers[" + std::to_string(i) + "] has " +
                                               std::to_string(breakers[i].size()) +
                                               " bytes; it must have 1 to " +
                                               std::to_string(kMaxDryBreakerBytes));
  }
  return ok_status();
}

DryBreakers::DryBreakers(std::span<const std::string> breakers) {
  for (const std::string& text : breakers) {
    CHECK(!text.empty() && text.size() <= kMaxDryBreakerBytes);
    Pattern pattern{text, std::vector<uint8_t>(text.size(), 0), 0};
    uint8_t length = 0;
    for (size_t i = 1; i < text.size(); ++i) {
      while (length > 0 && text[i] != text[length]) length = pattern.border[length - 1U];
      if (text[i] == text[length]) ++length;
      pattern.border[i] = length;
    }
    patterns_.push_back(std::move(pattern));
  }
}

void DryBreakers::push(std::string_view bytes) {
  bool completes = false;
  bool holds = false;
  for (Pattern& pattern : patterns_) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      size_t& state = pattern.state;
      while (state > 0 && pattern.text[state] != bytes[i]) state = pattern.border[state - 1];
      if (pattern.text[state] == bytes[i]) ++state;
      if (state < pattern.text.size()) continue;
      completes = true;
      holds = holds || pattern.text.size() <= i + 1;
      state = pattern.border[state - 1];
    }
  }
  holds_.push_back(holds ? 1 : 0);
  n_unbroken_ = completes ? 0 : n_unbroken_ + 1;
}

void repetition_lengths(std::span<const TokenId> window, size_t limit,
                        std::vector<int32_t>& lengths) {
  const size_t n = window.size();
  lengths.assign(n, 0);
  const auto reversed = [&](size_t i) { return window[n - 1 - i]; };
  // [left, right): the stretch of the reversed window furthest to the right that equals its front.
  size_t left = 0;
  size_t right = 0;
  std::vector<int32_t>& z = lengths;  // z[n - i]: of the stretch that begins at i, 1 <= i < n
  for (size_t i = 1; i < n; ++i) {
    size_t length = 0;
    if (i < right) length = std::min(right - i, static_cast<size_t>(z[n - (i - left)]));
    while (length < limit && i + length < n && reversed(length) == reversed(i + length)) ++length;
    if (i + length > right) {
      left = i;
      right = i + length;
    }
    z[n - i] = static_cast<int32_t>(length);
  }
}

}  // namespace quern::engine
