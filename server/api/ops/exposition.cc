// See exposition.h.
#include "server/api/ops/exposition.h"

#include <array>
#include <charconv>
#include <cmath>

#include "config/base/check.h"

namespace quern::api::ops {
namespace {

// Backslash, quote and line feed of a label's value.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

// The shortest text that reads back as the same number.
std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 32> buffer{};
  // Whole numbers as people write them, as far as doubles hold them exactly.
  const bool whole = value == std::floor(value) && std::abs(value) < 0x1p53;
  const auto [end, error] =
      whole
          ? std::to_chars(buffer.data(), buffer.data() + buffer.size(), static_cast<int64_t>(value))
          : std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  CHECK(error == std::errc());
  return std::string(buffer.data(), end);
}

}  // namespace

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  text_.append(name).append(" ").append(type).append("\n");
}

void Exposition::line(std::string_view suffix, Labels labels, std::string_view bound,
                      double value) {
  text_.append(name_).append(suffix);
  char before = '{';
  for (const auto& [name, text] : labels) {
    text_.append(1, before).append(name).append("=\"").append(escaped(text)).append("\"");
    before = ',';
  }
  if (!bound.empty()) {
    text_.append(1, before).append("le=\"").append(bound).append("\"");
    before = ',';
  }
  if (before == ',') text_.append("}");
  text_.append(" ").append(number(value)).append("\n");
}

void Exposition::sample(Labels labels, double value) { line("", labels, "", value); }

void Exposition::histogram(Labels labels, std::span<const double> bounds,
                           std::span<const uint64_t> counts, double sum) {
  CHECK(counts.size() == bounds.size() + 1);
  uint64_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    const std::string bound = i < bounds.size() ? number(bounds[i]) : "+Inf";
    line("_bucket", labels, bound, static_cast<double>(total));
  }
  line("_sum", labels, "", sum);
  line("_count", labels, "", static_cast<double>(total));
}

}  // namespace quern::api::ops
