// Where the load goes: an http URL, taken apart.
#pragma once

#include <string>
#include <string_view>

#include "config/base/result.h"

namespace quern::loadgen {

struct Target {
  std::string host;  // without the brackets of an IPv6 address
  int port = 80;
  std::string authority;    // value of the Host header
  std::string path;         // of the endpoint that generates
  std::string models_path;  // of the endpoint that lists models
  bool chat = false;        // messages rather than a prompt

  std::string url() const { return "http://" + authority + path; }
};

// "http://host[:port][/prefix]". A path that ends in /completions is the endpoint; otherwise the
// OpenAI one is appended, with /v1 unless the path ends in it. `chat`: /v1/chat/completions.
Result<Target> parse_target(std::string_view url, bool chat);

}  // namespace quern::loadgen
