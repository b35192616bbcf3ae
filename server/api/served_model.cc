// Name comparison; see served_model.h for the rules.
#include "server/api/served_model.h"

#include <algorithm>

#include "server/http/message.h"

namespace quern::api {
namespace {

std::string normalised(std::string_view name) {
  std::string lower = http::to_lower(name);
  if (lower.ends_with(":latest")) lower.resize(lower.size() - 7);
  return lower;
}

constexpr size_t kMaxNameBytes = 512;

}  // namespace

bool ListedModel::is_called(std::string_view name) const {
  if (name.size() > kMaxNameBytes) return false;
  const std::string wanted = normalised(name);
  return normalised(id) == wanted ||
         std::any_of(aliases.begin(), aliases.end(),
                     [&](const std::string& alias) { return normalised(alias) == wanted; });
}

std::optional<size_t> ListedModel::adapter_called(std::string_view name) const {
  if (name.size() > kMaxNameBytes) return std::nullopt;
  const std::string wanted = normalised(name);
  const size_t colon = wanted.rfind(':');
  if (colon == std::string::npos || !is_called(std::string_view(wanted).substr(0, colon))) {
    return std::nullopt;
  }
  const auto found = std::find_if(adapters.begin(), adapters.end(), [&](const ListedAdapter& one) {
    return http::to_lower(one.name) == wanted.substr(colon + 1);
  });
  if (found == adapters.end()) return std::nullopt;
  return static_cast<size_t>(found - adapters.begin());
}

std::string model_id_from(std::string_view name) {
  std::string out;
  for (const char c : http::to_lower(name)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
    if (plain) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != '-') {
      out.push_back('-');
    }
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out.empty() ? "model" : out;
}

}  // namespace quern::api
