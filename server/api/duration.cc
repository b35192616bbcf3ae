// See duration.h. Source: Go's time.ParseDuration; Ollama API documentation (keep_alive).
#include "server/api/duration.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <utility>

namespace quern::api {
namespace {

using engine::KeepAlive;

constexpr double kCentury = 100.0 * 365 * 24 * 3600;  // seconds
constexpr size_t kMaxBytes = 64;

std::optional<KeepAlive> from_seconds(double seconds) {
  if (!std::isfinite(seconds)) return std::nullopt;
  if (seconds < 0 || seconds > kCentury) return engine::kForever;
  return std::chrono::duration_cast<KeepAlive>(std::chrono::duration<double>(seconds));
}

// One "12.5m" of a duration; `text` is advanced.
bool take_part(std::string_view& text, double& seconds) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"h", 3600.0}, {"m", 60.0}, {"s", 1.0}};
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + digits, value, std::chars_format::fixed);
  if (digits == 0 || error != std::errc() || end != text.data() + digits) return false;
  text.remove_prefix(digits);
  for (const auto& [unit, scale] : kUnits) {
    if (!text.starts_with(unit)) continue;
    text.remove_prefix(unit.size());
    seconds += value * scale;
    return true;
  }
  return false;
}

}  // namespace

std::optional<KeepAlive> parse_duration(std::string_view text) {
  if (text.size() > kMaxBytes) return std::nullopt;
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return KeepAlive(0);
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  while (!text.empty()) {
    if (!take_part(text, seconds)) return std::nullopt;
  }
  return from_seconds(negative ? -seconds : seconds);
}

std::optional<KeepAlive> parse_keep_alive_option(std::string_view text) {
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool whole = error == std::errc() && end == text.data() + text.size() && !text.empty();
  return whole ? from_seconds(static_cast<double>(seconds)) : parse_duration(text);
}

std::optional<KeepAlive> parse_keep_alive(const Json& value) {
  if (value.is_number()) return from_seconds(value.get<double>());
  if (!value.is_string()) return std::nullopt;
  return parse_duration(value.get_ref<const std::string&>());
}

}  // namespace quern::api
