// Strict parser of HTTP/1.0 and 1.1 request heads.
//
// Anything two parsers could read differently is refused: bare LF, folded lines, space before the
// colon, two lengths, a length beside a transfer coding, unknown codings. Sources: RFC 9110,
// RFC 9112 (sections 2 to 7 and 11.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/limits.h"
#include "server/http/message.h"

namespace quern::http {

// Why a request is answered with an error before it reaches a handler.
struct Fault {
  int status = 400;
  std::string message;
};

struct RequestHead {
  std::string method;
  std::string path;
  std::string query;
  Headers headers;
  std::string host;  // as sent; of the target when that is absolute
  bool has_host = false;
  bool version_1_0 = false;
  bool keep_alive = true;
  bool chunked = false;
  uint64_t content_length = 0;
  bool expects_continue = false;
};

// Parses a head: everything up to and including the empty line. `out` is filled as far as it was
// understood, so that a fault can be answered in the right form.
std::optional<Fault> parse_request_head(std::string_view bytes, const Limits& limits,
                                        RequestHead& out);

// Drops the empty lines before a request (RFC 9112 2.2). True when `buffer` then begins with one; a
// lone CR does not, for it may be the first half of another empty line.
bool begins_request(std::string& buffer);

// How far the head at the start of `bytes` has arrived. `scanned` remembers what was looked at.
enum class HeadProgress { kIncomplete, kComplete, kFaulty };
HeadProgress scan_head(std::string_view bytes, const Limits& limits, size_t& scanned,
                       size_t& head_bytes);

// RFC 9110 token characters.
bool is_token(std::string_view text);

}  // namespace quern::http
