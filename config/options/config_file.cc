// The configuration file: TOML, top-level keys only, read into text settings.
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <sstream>

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

Error wrong_kind(std::string_view label, std::string_view key, const toml::node& node) {
  return Error(ErrorKind::kInvalidInput,
               std::string(label) + ", line " + std::to_string(node.source().begin.line) + ": \"" +
                   std::string(key) + "\" must be text, a number, true, false or a list of those");
}

}  // namespace

Result<Settings> parse_config_file(std::string_view text, std::string_view label) {
  constexpr size_t kMaxBytes = size_t{1} << 20;
  if (text.size() > kMaxBytes) {
    return Error(
        ErrorKind::kInvalidInput,
        std::string(label) + " is larger than 1 MiB; a configuration file holds a few lines");
  }
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return Error(ErrorKind::kInvalidInput,
                 std::string(label) + ", line " +
                     std::to_string(parsed.error().source().begin.line) +
                     " is not valid TOML: " + std::string(parsed.error().description()));
  }
  Settings settings;
  for (const auto& [key, node] : parsed.table()) {
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
