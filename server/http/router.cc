// Linear search: a server has a few dozen routes.
#include "server/http/router.h"

namespace quern::http {
namespace {

bool path_matches(std::string_view pattern, std::string_view path, std::string_view& rest) {
  if (!pattern.ends_with("/*")) return pattern == path;
  const std::string_view stem = pattern.substr(0, pattern.size() - 1);
  if (!path.starts_with(stem) || path.size() == stem.size()) return false;
  rest = path.substr(stem.size());
  return true;
}

}  // namespace

Router::Match Router::match(std::string_view method, std::string_view path) const {
  Match found;
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const Route& route : routes_) {
    std::string_view rest;
    if (!path_matches(route.pattern, path, rest)) continue;
    if (route.method == wanted) {
      found.route = &route;
      found.bad_escape = !percent_decode(rest, found.rest);
      return found;
    }
    found.allow += (found.allow.empty() ? "" : ", ") + route.method;
    if (route.method == "GET") found.allow += ", HEAD";
  }
  return found;
}

bool Router::is_quick(std::string_view request_line) const {
  const size_t space = request_line.find(' ');
  if (space == std::string_view::npos) return false;
  const std::string_view after = request_line.substr(space + 1);
  const std::string_view path = after.substr(0, after.find_first_of(" ?\r\n"));
  const Match found = match(request_line.substr(0, space), path);
  return found.route != nullptr && found.route->quick;
}

}  // namespace quern::http
