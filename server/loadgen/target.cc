#include "server/loadgen/target.h"

#include <algorithm>
#include <charconv>

namespace quern::loadgen {
namespace {

constexpr std::string_view kScheme = "http://";
constexpr std::string_view kChatEnd = "/chat/completions";
constexpr std::string_view kEnd = "/completions";

Error bad_url(std::string_view url, const std::string& what) {
  return Error(ErrorKind::kInvalidInput, "the URL \"" + std::string(url) + "\" " + what +
                                             "; give one like http://127.0.0.1:8080");
}

// Host and port of "host", "host:port", "[::1]" or "[::1]:port". False: neither.
bool split_authority(std::string_view text, Target& out) {
  const bool bracketed = text.starts_with('[');
  const size_t end = bracketed ? text.find(']') : text.find(':');
  if (bracketed && end == std::string_view::npos) return false;
  out.host = std::string(bracketed ? text.substr(1, end - 1) : text.substr(0, end));
  std::string_view rest = end == std::string_view::npos ? "" : text.substr(end);
  if (bracketed) rest.remove_prefix(1);
  if (rest.empty()) return !out.host.empty();
  if (!rest.starts_with(':')) return false;
  rest.remove_prefix(1);
  const auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), out.port);
  return error == std::errc() && stop == rest.data() + rest.size() && out.port >= 1 &&
         out.port <= 65535 && !out.host.empty();
}

}  // namespace

Result<Target> parse_target(std::string_view url, bool chat) {
  if (url.starts_with("https://")) {
    return Error(ErrorKind::kUnsupported,
                 "https is not supported by the load generator; give the address of the server "
                 "behind the TLS proxy, as http://");
  }
  if (!url.starts_with(kScheme)) return bad_url(url, "does not begin with http://");
  const bool plain = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 127; });
  if (!plain || url.find_first_of("?#@") != std::string_view::npos) {
    return bad_url(url, "holds a space, a query, a fragment or a user");
  }
  const std::string_view rest = url.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  Target out;
  out.chat = chat;
  out.authority = std::string(rest.substr(0, slash));
  if (!split_authority(out.authority, out)) return bad_url(url, "names no host or a wrong port");
  std::string path(rest.substr(slash));
  while (path.ends_with('/')) path.pop_back();
  if (path.ends_with(kEnd)) {
    out.path = path;
    if (chat && !path.ends_with(kChatEnd)) {
      return bad_url(url, "is that of prompts, but --chat asks for messages");
    }
    out.chat = path.ends_with(kChatEnd);
    path.resize(path.size() - (out.chat ? kChatEnd : kEnd).size());
  } else {
    if (!path.ends_with("/v1")) path += "/v1";
    out.path = path + std::string(chat ? kChatEnd : kEnd);
  }
  out.models_path = path + "/models";
  return out;
}

}  // namespace quern::loadgen
