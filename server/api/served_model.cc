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

const ServedModel* Catalogue::find(std::string_view name) const {
  if (name.size() > kMaxNameBytes) return nullptr;
  const std::string wanted = normalised(name);
  for (const ServedModel& model : models) {
    const bool alias = std::any_of(model.aliases.begin(), model.aliases.end(),
                                   [&](const std::string& a) { return normalised(a) == wanted; });
    if (alias || normalised(model.id) == wanted) return &model;
  }
  return nullptr;
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
