// Line by line, each header by one rule; see head_parser.h for what is refused and why.
#include "server/http/head_parser.h"

#include <algorithm>
#include <charconv>

namespace quern::http {
namespace {

using MaybeFault = std::optional<Fault>;

Fault bad(std::string message) { return Fault{400, std::move(message)}; }

bool is_token_char(char c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// Visible characters, spaces, tabs and bytes above ASCII; no controls.
bool is_value_char(char c) {
  const auto u = static_cast<unsigned char>(c);
  return c == '\t' || (u >= 0x20 && u != 0x7F);
}

MaybeFault split_target(std::string_view target, const Limits& limits, RequestHead& out) {
  if (target.size() > limits.max_target_bytes) {
    return Fault{414, "The request target is longer than " +
                          std::to_string(limits.max_target_bytes) + " bytes; shorten it."};
  }
  for (const char c : target) {
    if (c <= 0x20 || c > 0x7E) return bad("The request target holds a control or space character.");
  }
  if (target.starts_with("http://") || target.starts_with("https://")) {
    const size_t start = target.find("://") + 3;
    const size_t end = std::min(target.find_first_of("/?", start), target.size());
    out.host = std::string(target.substr(start, end - start));
    out.has_host = true;
    target = target.substr(end);
    if (target.empty()) target = "/";
  }
  const bool star = target == "*" && out.method == "OPTIONS";
  if (!star && (target.empty() || target.front() != '/')) {
    return bad("The request target must begin with \"/\".");
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  out.path = std::string(target.substr(0, question));
  if (question != std::string_view::npos) out.query = std::string(target.substr(question + 1));
  return std::nullopt;
}

MaybeFault parse_request_line(std::string_view line, const Limits& limits, RequestHead& out) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return bad("The request line must be \"METHOD target HTTP/1.1\".");
  }
  const std::string_view method = line.substr(0, first);
  if (!is_token(method) || method.size() > 32) return bad("The request method is not a token.");
  out.method = std::string(method);
  if (MaybeFault fault = split_target(line.substr(first + 1, last - first - 1), limits, out)) {
    return fault;
  }
  const std::string_view version = line.substr(last + 1);
  if (version == "HTTP/1.1") return std::nullopt;
  if (version == "HTTP/1.0") {
    out.version_1_0 = true;
    out.keep_alive = false;
    return std::nullopt;
  }
  if (version.size() == 8 && version.starts_with("HTTP/")) {
    return Fault{505, "Only HTTP/1.0 and HTTP/1.1 are spoken here."};
  }
  return bad("The request line must end with \"HTTP/1.1\".");
}

MaybeFault parse_length(std::string_view value, bool seen, RequestHead& out) {
  const bool digits =
      !value.empty() && value.size() <= 19 &&
      std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (seen || !digits) return bad("Content-Length must be one decimal number.");
  std::from_chars(value.data(), value.data() + value.size(), out.content_length);
  return std::nullopt;
}

MaybeFault parse_coding(std::string_view value, bool seen, RequestHead& out) {
  if (out.version_1_0) return bad("Transfer-Encoding needs HTTP/1.1.");
  if (seen || !equals_ignoring_case(value, "chunked")) {
    return Fault{501, "The only Transfer-Encoding understood here is \"chunked\"."};
  }
  out.chunked = true;
  return std::nullopt;
}

void parse_connection(std::string_view value, RequestHead& out) {
  while (!value.empty()) {
    const size_t comma = value.find(',');
    const std::string_view option = trim(value.substr(0, comma));
    if (equals_ignoring_case(option, "close")) out.keep_alive = false;
    if (equals_ignoring_case(option, "keep-alive") && out.version_1_0) out.keep_alive = true;
    value = comma == std::string_view::npos ? "" : value.substr(comma + 1);
  }
}

struct Seen {
  bool host = false;
  bool length = false;
  bool coding = false;
};

MaybeFault note_header(const Header& header, Seen& seen, RequestHead& out) {
  if (header.name == "host") {
    if (seen.host) return bad("There is more than one Host header.");
    seen.host = true;
    if (!out.has_host) out.host = header.value;  // an absolute target overrides it
    out.has_host = true;
  } else if (header.name == "content-length") {
    MaybeFault fault = parse_length(header.value, seen.length, out);
    seen.length = true;
    return fault;
  } else if (header.name == "transfer-encoding") {
    MaybeFault fault = parse_coding(header.value, seen.coding, out);
    seen.coding = true;
    return fault;
  } else if (header.name == "connection") {
    parse_connection(header.value, out);
  } else if (header.name == "expect") {
    if (!equals_ignoring_case(header.value, "100-continue")) {
      return Fault{417, "The only Expect understood here is \"100-continue\"."};
    }
    out.expects_continue = !out.version_1_0;
  }
  return std::nullopt;
}

MaybeFault parse_header_line(std::string_view line, Header& out) {
  if (line.front() == ' ' || line.front() == '\t') return bad("Header lines must not be folded.");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return bad("A header line must be \"name: value\" without space before the colon.");
  }
  const std::string_view value = trim(line.substr(colon + 1));
  if (!std::all_of(value.begin(), value.end(), is_value_char)) {
    return bad("A header value holds a control character.");
  }
  out.name = to_lower(line.substr(0, colon));
  out.value = std::string(value);
  return std::nullopt;
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool begins_request(std::string& buffer) {
  size_t dropped = 0;
  while (std::string_view(buffer).substr(dropped).starts_with("\r\n")) dropped += 2;
  buffer.erase(0, dropped);
  return !buffer.empty() && buffer != "\r";
}

HeadProgress scan_head(std::string_view bytes, const Limits& limits, size_t& scanned,
                       size_t& head_bytes) {
  for (; scanned < bytes.size(); ++scanned) {
    if (bytes[scanned] != '\n') continue;
    if (scanned == 0 || bytes[scanned - 1] != '\r') return HeadProgress::kFaulty;
    if (scanned >= 3 && bytes.substr(scanned - 3, 4) == "\r\n\r\n") {
      head_bytes = ++scanned;
      return head_bytes > limits.max_head_bytes ? HeadProgress::kFaulty : HeadProgress::kComplete;
    }
  }
  return bytes.size() > limits.max_head_bytes ? HeadProgress::kFaulty : HeadProgress::kIncomplete;
}

std::optional<Fault> parse_request_head(std::string_view bytes, const Limits& limits,
                                        RequestHead& out) {
  const size_t line_end = bytes.find("\r\n");
  const size_t first_lf = bytes.find('\n');
  if (first_lf != std::string_view::npos && (first_lf == 0 || bytes[first_lf - 1] != '\r')) {
    return bad("Lines must end with CR LF.");
  }
  if (bytes.substr(0, line_end).size() > limits.max_target_bytes + 64) {
    return Fault{414, "The request line is too long; shorten the target."};
  }
  if (line_end == std::string_view::npos) return bad("The request line has no end.");
  if (MaybeFault fault = parse_request_line(bytes.substr(0, line_end), limits, out)) return fault;
  if (bytes.size() > limits.max_head_bytes) {
    return Fault{431, "The request head is larger than " + std::to_string(limits.max_head_bytes) +
                          " bytes; send fewer or shorter headers."};
  }
  Seen seen;
  size_t at = line_end + 2;
  while (true) {
    const size_t end = bytes.find("\r\n", at);
    if (end == std::string_view::npos) return bad("Lines must end with CR LF.");
    const std::string_view line = bytes.substr(at, end - at);
    at = end + 2;
    if (line.empty()) break;
    if (line.size() > limits.max_header_line_bytes ||
        out.headers.size() >= limits.max_header_count) {
      return Fault{431, "At most " + std::to_string(limits.max_header_count) + " headers of " +
                            std::to_string(limits.max_header_line_bytes) + " bytes are read."};
    }
    Header header;
    if (MaybeFault fault = parse_header_line(line, header)) return fault;
    if (MaybeFault fault = note_header(header, seen, out)) return fault;
    out.headers.push_back(std::move(header));
  }
  if (seen.length && seen.coding)
    return bad("Content-Length and Transfer-Encoding exclude each other.");
  if (!seen.host && !out.version_1_0) return bad("HTTP/1.1 requests need a Host header.");
  return std::nullopt;
}

}  // namespace quern::http
