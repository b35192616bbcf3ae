// Who may talk to the server: Host names, browser origins, API keys.
//
// A server on a loopback address answers only to loopback names, or any web page could reach it
// through a name of its own that points here (DNS rebinding); a request with a foreign Origin is
// refused whatever its method, or any web page could make the browser send one. Keys are compared
// in constant time over all keys.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/message.h"

namespace quern::http {

struct AccessPolicy {
  std::vector<std::string> api_keys;  // empty: no key needed, any Authorization header is accepted
  bool check_host = true;
  std::vector<std::string> allowed_hosts;    // besides loopback names; without port
  std::vector<std::string> allowed_origins;  // besides loopback pages; "*": any
};

// `host` as in the Host header, with or without port.
bool host_allowed(const AccessPolicy& policy, std::string_view host);
// `host`: the Host header, for pages that this server serves itself.
bool origin_allowed(const AccessPolicy& policy, std::string_view origin, std::string_view host);
// Whether the request carries one of the keys ("Authorization: Bearer k" or "X-Api-Key: k").
bool key_accepted(const AccessPolicy& policy, const Headers& headers);
// Which one, counted from 0; 0 also when no key is needed. Nothing when none is accepted.
std::optional<size_t> accepted_key(const AccessPolicy& policy, const Headers& headers);
// Whether a name (no port, brackets kept) means this machine: localhost, *.localhost, 127.0.0.0/8,
// [::1].
bool is_loopback_name(std::string_view name);

}  // namespace quern::http
