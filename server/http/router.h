// The table of routes: method and path to handler.
//
// Patterns are literal, or end in "/*", which matches any non-empty rest. Paths are compared as
// sent, without decoding or cleaning, so that what is checked is what is run. HEAD is answered by
// the GET route.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/message.h"

namespace quern::http {

using Handler = std::function<void(Exchange&)>;

struct Route {
  std::string method;
  std::string pattern;
  Handler handler;
  bool needs_key = true;
  // Answered by a thread of its own even when all others are busy. Must not wait for anything.
  bool quick = false;
};

class Router {
 public:
  void add(Route route) { routes_.push_back(std::move(route)); }

  struct Match {
    const Route* route = nullptr;  // null: no such path, or not with this method
    std::string rest;              // decoded text of "*"
    std::string allow;             // methods of the path, for 405; empty: no such path
    bool bad_escape = false;
  };
  Match match(std::string_view method, std::string_view path) const;
  // Whether a request with this raw first line belongs to a quick route.
  bool is_quick(std::string_view request_line) const;
  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace quern::http
