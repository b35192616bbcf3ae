// The configuration file: TOML, top-level keys only, read into text settings.
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <utility>

#include "config/options/options.h"

namespace quern::options {
namespace {

std::string scalar_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  std::ostringstream out;
  if (const auto* whole = node.as_integer()) out << whole->get();
  if (const auto* real = node.as_floating_point()) out << real->get();
  return out.str();
}

bool is_scalar(const toml::node& node) {
  return node.is_string() || node.is_boolean() || node.is_integer() || node.is_floating_point();
}

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// The line of the first character outside ASCII that is neither in a comment nor in text quoted on
// one line, if `text` is TOML otherwise; 0 if there is none.
size_t line_of_stray_character(std::string_view text) {
  const bool several_lines =
      text.find("\"\"\"") != std::string_view::npos || text.find("'''") != std::string_view::npos;
  size_t line = 1;
  char open = 0;  // the quote or comment sign that the present character is behind
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
      open = 0;
    } else if (!is_ascii(c)) {
      if (open == 0 || several_lines) return line;
    } else if (open == 0) {
      if (c == '"' || c == '\'' || c == '#') open = c;
    } else if (open == '"' && c == '\\' && i + 1 < text.size() && text[i + 1] != '\n') {
      ++i;
    } else if (c == open && c != '#') {
      open = 0;
    }
  }
  return 0;
}

Error wrong_kind(std::string_view label, std::string_view key, const toml::node& node) {
  return Error(ErrorKind::kInvalidInput,
               std::string(label) + ", line " + std::to_string(node.source().begin.line) + ": \"" +
                   std::string(key) + "\" must be text, a number, true, false or a list of those");
}

Result<toml::table> parse_toml(std::string_view text, std::string_view label) {
  toml::parse_result parsed = toml::parse(text);
  if (parsed) return std::move(parsed).table();
  return Error(ErrorKind::kInvalidInput,
               std::string(label) + ", line " + std::to_string(parsed.error().source().begin.line) +
                   " is not valid TOML: " + std::string(parsed.error().description()));
}

// toml++ up to 3.4 has undefined behaviour on many characters outside ASCII wherever it looks for
// white space, after errors too (its issues 190 and 295, mended by its pull request 305). So the
// form of the file is checked with a letter in their places, and then their places.
Result<toml::table> parse_document(std::string_view text, std::string_view label) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (std::all_of(text.begin(), text.end(), is_ascii)) return parse_toml(text, label);
  std::string form(text);
  // One that is no part of numbers, dates and escapes.
  std::replace_if(form.begin(), form.end(), std::not_fn(is_ascii), 'Q');
  QUERN_RETURN_IF_ERROR(parse_toml(form, label));
  const size_t line = line_of_stray_character(text);
  if (line == 0) return parse_toml(text, label);
  return Error(ErrorKind::kInvalidInput,
               std::string(label) + ", line " + std::to_string(line) +
                   ": characters outside ASCII may stand only in comments and in text quoted on "
                   "one line");
}

}  // namespace

Result<Settings> parse_config_file(std::string_view text, std::string_view label) {
  constexpr size_t kMaxBytes = size_t{1} << 20;
  if (text.size() > kMaxBytes) {
    return Error(
        ErrorKind::kInvalidInput,
        std::string(label) + " is larger than 1 MiB; a configuration file holds a few lines");
  }
  QUERN_ASSIGN_OR_RETURN(const toml::table document, parse_document(text, label));
  Settings settings;
  for (const auto& [key, node] : document) {
    const std::string name(key.str());
    if (is_scalar(node)) {
      settings[name] = scalar_text(node);
      continue;
    }
    const auto* list = node.as_array();
    if (list == nullptr) return wrong_kind(label, name, node);
    std::string joined;
    for (const toml::node& item : *list) {
      if (!is_scalar(item)) return wrong_kind(label, name, item);
      if (!joined.empty()) joined += ',';
      joined += scalar_text(item);
    }
    settings[name] = joined;
  }
  return settings;
}

}  // namespace quern::options
