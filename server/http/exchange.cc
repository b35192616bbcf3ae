// Serialisation of responses (RFC 9112 sections 4 to 7).
#include "server/http/exchange.h"

#include <sys/random.h>

#include <array>
#include <charconv>
#include <ctime>

namespace quern::http {
namespace {

// A value that cannot end its line: control characters become "?".
void append_safe(std::string& out, std::string_view value) {
  for (const char c : value) {
    const auto u = static_cast<unsigned char>(c);
    out.push_back(u < 0x20 || u == 0x7F ? '?' : c);
  }
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  append_safe(out, value);
  out.append("\r\n");
}

std::string two_digits(int n) {
  return {static_cast<char>('0' + n / 10 % 10), static_cast<char>('0' + n % 10)};
}

// IMF-fixdate (RFC 9110 5.6.7).
std::string http_date() {
  static constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                            "Thu", "Fri", "Sat"};
  static constexpr std::array<std::string_view, 12> kMonths = {
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::string out(kDays[static_cast<size_t>(utc.tm_wday) % 7]);
  out.append(", ").append(two_digits(utc.tm_mday)).append(" ");
  out.append(kMonths[static_cast<size_t>(utc.tm_mon) % 12]).append(" ");
  out.append(std::to_string(utc.tm_year + 1900)).append(" ").append(two_digits(utc.tm_hour));
  out.append(":").append(two_digits(utc.tm_min)).append(":").append(two_digits(utc.tm_sec));
  return out.append(" GMT");
}

}  // namespace

std::string make_request_id() {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::array<unsigned char, 24> bytes{};
  // Only a name for logs: short reads leave zeros, which is still a valid id.
  [[maybe_unused]] const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
  std::string id = "req-";
  for (const unsigned char byte : bytes) id.push_back(kLetters[byte % kLetters.size()]);
  return id;
}

void SocketExchange::begin(const RequestHead& head, const std::string& peer, std::string id) {
  request_.method = head.method;
  request_.path = head.path;
  request_.query = head.query;
  request_.headers = head.headers;
  request_.peer = peer;
  request_.id = std::move(id);
  version_1_0_ = head.version_1_0;
  keep_alive_ = head.keep_alive;
}

std::string SocketExchange::head_text(const Response& response, bool chunked,
                                      bool with_length) const {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " ";
  out.append(reason_phrase(response.status)).append("\r\n");
  append_header(out, "server", site_.server_name);
  append_header(out, "date", http_date());
  append_header(out, "x-request-id", request_.id);
  if (!response.content_type.empty()) append_header(out, "content-type", response.content_type);
  if (with_length) append_header(out, "content-length", std::to_string(response.body.size()));
  if (chunked) append_header(out, "transfer-encoding", "chunked");
  if (!origin_.empty()) {
    append_header(out, "access-control-allow-origin", origin_);
    append_header(out, "access-control-expose-headers",
                  "x-request-id, x-quern-seed, x-quern-ignored");
    append_header(out, "vary", "origin");
  }
  for (const Header& header : response.headers) append_header(out, header.name, header.value);
  if (!keep_alive_) {
    append_header(out, "connection", "close");
  } else if (version_1_0_) {
    append_header(out, "connection", "keep-alive");
  }
  out.append("\r\n");
  return out;
}

bool SocketExchange::put(std::string_view bytes) {
  if (dropped_) return false;
  if (send_all(fd_, bytes, site_.limits.write_stall) != IoState::kOk) dropped_ = true;
  return !dropped_;
}

void SocketExchange::send(const Response& response) {
  if (started_ || dropped_) return;
  started_ = true;
  if (site_.stopping.load(std::memory_order_relaxed)) keep_alive_ = false;
  std::string out = head_text(response, false, response.status != 204);
  if (request_.method != "HEAD" && response.status != 204) out += response.body;
  finished_ = put(out);
}

bool SocketExchange::begin_stream(const Response& response) {
  if (started_ || dropped_) return false;
  started_ = true;
  if (version_1_0_ || site_.stopping.load(std::memory_order_relaxed)) keep_alive_ = false;
  return put(head_text(response, !version_1_0_, false));
}

bool SocketExchange::write(std::string_view piece) {
  if (piece.empty()) return !dropped_;
  if (version_1_0_) return put(piece);
  std::array<char, 16> size{};
  const auto [end, error] = std::to_chars(size.data(), size.data() + size.size(), piece.size(), 16);
  std::string framed(size.data(), end);
  framed.append("\r\n").append(piece).append("\r\n");
  return put(framed);
}

void SocketExchange::end_stream() {
  if (!started_ || finished_) return;
  finished_ = version_1_0_ ? !dropped_ : put("0\r\n\r\n");
}

void SocketExchange::send_continue() { put("HTTP/1.1 100 Continue\r\n\r\n"); }

bool SocketExchange::client_gone() {
  if (dropped_) return true;
  const PeerState state = peer_state(fd_);
  if (state == PeerState::kOpen) return false;
  if (state == PeerState::kGone) {
    dropped_ = true;
  } else if (!started_) {
    // The client has sent FIN. That is a close() or only a shutdown of its sending side, in which
    // case it still wants the answer. An interim response (RFC 9110 15.2) tells them apart: a
    // closed peer answers it with a reset, which the next look finds.
    if (version_1_0_) {
      dropped_ = true;
    } else if (!probed_) {
      probed_ = true;
      send_continue();
    }
  }
  return dropped_;
}

}  // namespace quern::http
