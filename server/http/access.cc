// Plain comparisons; see access.h for the attacks they stop.
#include "server/http/access.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace quern::http {
namespace {

// The name in "name:port" or "[v6]:port"; nothing if it is not of that form.
std::optional<std::string_view> host_name(std::string_view host) {
  if (host.empty() || host.find('@') != std::string_view::npos) return std::nullopt;
  size_t name_end = host.size();
  if (host.front() == '[') {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    name_end = close + 1;
  } else {
    name_end = std::min(host.find(':'), host.size());
  }
  const std::string_view port = host.substr(name_end);
  const bool port_ok = port.empty() || (port.front() == ':' && port.size() <= 6 &&
                                        std::all_of(port.begin() + 1, port.end(),
                                                    [](char c) { return c >= '0' && c <= '9'; }));
  if (name_end == 0 || !port_ok) return std::nullopt;
  return host.substr(0, name_end);
}

// 127.a.b.c in plain decimal.
bool is_loopback_v4(std::string_view name) {
  int parts = 0;
  while (true) {
    const size_t dot = name.find('.');
    const std::string_view part = name.substr(0, dot);
    int value = -1;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    const bool plain = error == std::errc() && end == part.data() + part.size() &&
                       part.size() <= 3 && value >= 0 && value <= 255 && part.front() != '-' &&
                       (part.size() == 1 || part.front() != '0');
    if (!plain || (parts == 0 && value != 127)) return false;
    ++parts;
    if (dot == std::string_view::npos) return parts == 4;
    name.remove_prefix(dot + 1);
    if (name.empty()) return false;
  }
}

// Every byte is looked at whatever the others are; only the length of `given` shows in the time.
bool same_key(std::string_view given, std::string_view key) {
  unsigned difference = given.size() == key.size() ? 0U : 1U;
  for (size_t i = 0; i < given.size(); ++i) {
    const char expected = key.empty() ? '\0' : key[i % key.size()];
    difference |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(expected);
  }
  return difference == 0;
}

constexpr size_t kMaxKeyBytes = 1024;

}  // namespace

bool is_loopback_name(std::string_view name) {
  const std::string lower = to_lower(name);
  if (lower == "localhost" || lower == "[::1]") return true;
  if (lower.ends_with(".localhost") && lower.size() > 10) {
    return lower.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") == std::string::npos;
  }
  return is_loopback_v4(lower);
}

bool host_allowed(const AccessPolicy& policy, std::string_view host) {
  if (!policy.check_host) return true;
  const auto name = host_name(host);
  if (!name) return false;
  if (is_loopback_name(*name)) return true;
  return std::any_of(policy.allowed_hosts.begin(), policy.allowed_hosts.end(),
                     [&](const std::string& a) { return equals_ignoring_case(a, *name); });
}

bool origin_allowed(const AccessPolicy& policy, std::string_view origin, std::string_view host) {
  for (const std::string& allowed : policy.allowed_origins) {
    if (allowed == "*" || equals_ignoring_case(allowed, origin)) return true;
  }
  const size_t scheme_end = origin.find("://");
  if (scheme_end == std::string_view::npos) return false;
  const std::string_view scheme = origin.substr(0, scheme_end);
  if (scheme != "http" && scheme != "https") return false;
  const std::string_view authority = origin.substr(scheme_end + 3);
  const auto name = host_name(authority);
  if (!name) return false;
  return is_loopback_name(*name) || (!host.empty() && equals_ignoring_case(authority, host));
}

std::optional<size_t> accepted_key(const AccessPolicy& policy, const Headers& headers) {
  if (policy.api_keys.empty()) return 0;
  std::string_view given;
  int credentials = 0;
  for (const Header& header : headers) {
    if (header.name == "authorization") {
      ++credentials;
      const std::string_view value = header.value;
      const bool bearer = value.size() > 7 && equals_ignoring_case(value.substr(0, 7), "bearer ");
      given = bearer ? trim(value.substr(7)) : std::string_view();
    } else if (header.name == "x-api-key") {
      ++credentials;
      given = header.value;
    }
  }
  if (credentials != 1 || given.empty() || given.size() > kMaxKeyBytes) return std::nullopt;
  size_t found = 0;  // one more than the index
  for (size_t i = 0; i < policy.api_keys.size(); ++i) {
    const std::string& key = policy.api_keys[i];
    const bool equal = !key.empty() && same_key(given, key);
    found |= equal && found == 0 ? i + 1 : 0;
  }
  if (found == 0) return std::nullopt;
  return found - 1;
}

bool key_accepted(const AccessPolicy& policy, const Headers& headers) {
  return accepted_key(policy, headers).has_value();
}

}  // namespace quern::http
