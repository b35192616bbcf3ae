#include "server/loadgen/tally.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace quern::loadgen {
namespace {

constexpr std::array<std::string_view, 8> kFailureNames = {
    "", "connect", "timeout", "http_", "malformed", "broken", "stream_error", "empty"};

std::string failure_name(const Outcome& outcome) {
  std::string name(kFailureNames.at(static_cast<size_t>(outcome.failure)));
  if (outcome.failure == Failure::kStatus) name += std::to_string(outcome.status);
  return name;
}

}  // namespace

void Tally::add(const Outcome& outcome) {
  const double lateness = outcome.started - outcome.intended;
  if (lateness > kLateSeconds) ++n_late;
  latest = std::max(latest, lateness);
  last_end = std::max(last_end, outcome.ended);
  if (outcome.failure != Failure::kNone) {
    ++n_failed;
    FailureCount& kind = failures[failure_name(outcome)];
    if (kind.count++ == 0) kind.first_message = outcome.message;
    return;
  }
  ++n_answered;
  first_text.add(outcome.first - outcome.intended);
  end_to_end.add(outcome.ended - outcome.intended);
  for (const float seconds : outcome.gaps) gap.add(static_cast<double>(seconds));
  if (!outcome.gaps.empty()) {
    longest_gap.add(
        static_cast<double>(*std::max_element(outcome.gaps.begin(), outcome.gaps.end())));
  }
  n_pieces += static_cast<uint64_t>(outcome.n_pieces);
  if (!outcome.usage) {
    completion_tokens += static_cast<uint64_t>(outcome.n_pieces);
    return;
  }
  ++n_with_usage;
  completion_tokens += static_cast<uint64_t>(outcome.usage->completion_tokens);
  prompt_tokens += static_cast<uint64_t>(outcome.usage->prompt_tokens);
  cached_tokens += static_cast<uint64_t>(outcome.usage->cached_tokens);
}

std::string Tally::tokens_from() const {
  if (n_with_usage == 0) return "pieces";
  return n_with_usage == n_answered ? "usage" : "both";
}

}  // namespace quern::loadgen
