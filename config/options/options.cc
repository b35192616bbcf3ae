#include "config/options/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace quern::options {
namespace {

// What a value must satisfy beyond its type.
struct Check {
  bool bounded = false;
  double low = 0;
  double high = 0;
  std::string_view choices;  // "a|b", or empty
};

constexpr Check anything() { return {}; }
constexpr Check between(double low, double high) { return {true, low, high, {}}; }
constexpr Check one_of(std::string_view choices) { return {false, 0, 0, choices}; }

std::string number_text(double value) {
  std::array<char, 32> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return error == std::errc() ? std::string(buffer.data(), end) : std::string("?");
}

std::string whole_text(double value) { return std::to_string(static_cast<int64_t>(value)); }

std::string trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  const size_t last = text.find_last_not_of(" \t");
  return std::string(text.substr(first, last - first + 1));
}

// Parsing by type: one overload per option type. An error holds only what was expected.

std::string expected_text(const Text&, const Check& check) {
  if (check.choices.empty()) return "text";
  std::string text = "one of ";
  for (const char c : check.choices) text += c == '|' ? std::string(", ") : std::string(1, c);
  return text;
}
std::string expected_text(const TextList&, const Check&) { return "a comma-separated list"; }
std::string expected_text(const Whole&, const Check& check) {
  return "a whole number from " + whole_text(check.low) + " to " + whole_text(check.high);
}
std::string expected_text(const Real&, const Check& check) {
  return "a number from " + number_text(check.low) + " to " + number_text(check.high);
}
std::string expected_text(const Switch&, const Check&) { return "true or false"; }
std::string expected_text(const Bytes&, const Check&) {
  return "a size such as 512MiB or 8GiB (0 for automatic)";
}

bool parse_into(std::string_view text, const Check& check, Text& out) {
  if (!check.choices.empty()) {
    bool found = false;
    std::string_view rest = check.choices;
    while (!found && !rest.empty()) {
      const size_t bar = rest.find('|');
      found = rest.substr(0, bar) == text;
      rest = bar == std::string_view::npos ? std::string_view() : rest.substr(bar + 1);
    }
    if (!found) return false;
  }
  out = std::string(text);
  return true;
}

bool parse_into(std::string_view text, const Check&, TextList& out) {
  out.clear();
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string item = trim(text.substr(0, comma));
    if (!item.empty()) out.push_back(std::move(item));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return true;
}

bool parse_into(std::string_view text, const Check& check, Whole& out) {
  Whole value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return false;
  const double as_double = static_cast<double>(value);
  if (check.bounded && (as_double < check.low || as_double > check.high)) return false;
  out = value;
  return true;
}

bool parse_into(std::string_view text, const Check& check, Real& out) {
  Real value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return false;
  if (!std::isfinite(value)) return false;
  if (check.bounded && (value < check.low || value > check.high)) return false;
  out = value;
  return true;
}

bool parse_into(std::string_view text, const Check&, Switch& out) {
  if (text == "true" || text == "1" || text == "on" || text == "yes") {
    out = true;
    return true;
  }
  if (text == "false" || text == "0" || text == "off" || text == "no") {
    out = false;
    return true;
  }
  return false;
}

bool parse_into(std::string_view text, const Check& check, Bytes& out) {
  auto parsed = parse_bytes(text);
  if (!parsed.ok()) return false;
  if (check.bounded && static_cast<double>(*parsed) > check.high) return false;
  out.count = *parsed;
  return true;
}

std::string fallback_text(const char* value) { return value; }
std::string fallback_text(bool value) { return value ? "true" : "false"; }
std::string fallback_text(int value) { return std::to_string(value); }
std::string fallback_text(double value) { return number_text(value); }

// One option with its parser; `set` returns false when the text does not fit.
struct Entry {
  OptionInfo info;
  bool (*set)(Options&, std::string_view);
};

std::string flag_of(std::string_view field) {
  std::string flag = "--" + std::string(field);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string variable_of(std::string_view field) {
  std::string name = "QUERN_";
  for (const char c : field) name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return name;
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> table = {
#define QUERN_OPTION(field, type, letter, fallback, check, commands, help)         \
  Entry{OptionInfo{#field, flag_of(#field), letter, variable_of(#field), commands, \
                   std::is_same_v<type, Switch>, fallback_text(fallback),          \
                   expected_text(type{}, check), help},                            \
        [](Options& options, std::string_view text) {                              \
          return parse_into(text, check, options.field);                           \
        }},
#include "config/options/option_list.inc"
#undef QUERN_OPTION
  };
  return table;
}

const Entry* find_entry(std::string_view field) {
  for (const Entry& entry : entries()) {
    if (entry.info.field == field) return &entry;
  }
  return nullptr;
}

// Levenshtein distance, for "did you mean".
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string nearest_field(std::string_view field) {
  const std::string_view shortened = field.substr(0, 64);
  const Entry* best = nullptr;
  size_t best_distance = 0;
  for (const Entry& entry : entries()) {
    const size_t distance = edit_distance(shortened, entry.info.field);
    if (best == nullptr || distance < best_distance) {
      best = &entry;
      best_distance = distance;
    }
  }
  return std::string(best->info.field);
}

Status apply(const Settings& settings, std::string_view source, Resolved& resolved) {
  for (const auto& [field, text] : settings) {
    const Entry* entry = find_entry(field);
    if (entry == nullptr) {
      return Error(ErrorKind::kInvalidInput, std::string(source) + ": there is no option \"" +
                                                 field + "\"; did you mean \"" +
                                                 nearest_field(field) + "\"?");
    }
    if (!entry->set(resolved.options, text)) {
      return Error(ErrorKind::kInvalidInput, std::string(source) + ": " + field + " is \"" + text +
                                                 "\", expected " + entry->info.expected);
    }
    resolved.origin[field] = std::string(source);
  }
  return ok_status();
}

struct Unit {
  std::string_view name;
  int64_t factor;
};

constexpr std::array kUnits = {
    Unit{"", 1},
    Unit{"B", 1},
    Unit{"kB", 1000},
    Unit{"KB", 1000},
    Unit{"K", 1 << 10},
    Unit{"KiB", 1 << 10},
    Unit{"MB", 1000000},
    Unit{"M", 1 << 20},
    Unit{"MiB", 1 << 20},
    Unit{"GB", 1000000000},
    Unit{"G", 1 << 30},
    Unit{"GiB", 1 << 30},
    Unit{"TB", 1000000000000},
    Unit{"T", int64_t{1} << 40},
    Unit{"TiB", int64_t{1} << 40},
};

}  // namespace

std::span<const OptionInfo> all_options() {
  static const std::vector<OptionInfo> infos = [] {
    std::vector<OptionInfo> list;
    for (const Entry& entry : entries()) list.push_back(entry.info);
    return list;
  }();
  return infos;
}

Result<Resolved> resolve(const Sources& sources) {
  Resolved resolved;
  for (const Entry& entry : entries()) {
    CHECK(entry.set(resolved.options, entry.info.fallback));
    resolved.origin[std::string(entry.info.field)] = "default";
  }
  QUERN_RETURN_IF_ERROR(apply(sources.file, "file " + sources.file_label, resolved));
  QUERN_RETURN_IF_ERROR(apply(sources.environment, "environment", resolved));
  QUERN_RETURN_IF_ERROR(apply(sources.flags, "command line", resolved));
  return resolved;
}

Result<int64_t> parse_bytes(std::string_view text) {
  const Error error(ErrorKind::kInvalidInput,
                    "\"" + std::string(text) + "\" is not a size; write it as 512MiB or 8GiB");
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || !(value >= 0) || !std::isfinite(value)) return error;
  const std::string unit = trim(text.substr(static_cast<size_t>(end - text.data())));
  for (const Unit& candidate : kUnits) {
    if (candidate.name != unit) continue;
    const double bytes = value * static_cast<double>(candidate.factor);
    if (bytes > 0x1p62) return error;
    return static_cast<int64_t>(bytes);
  }
  return error;
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::array kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> buffer{};
  const int digits = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  std::snprintf(buffer.data(), buffer.size(), "%.*f %s", digits, value, kNames[unit]);
  return buffer.data();
}

}  // namespace quern::options
