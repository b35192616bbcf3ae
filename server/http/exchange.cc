// See exchange.h. Bytes leave through put() only.
#include "server/http/exchange.h"

#include <sys/random.h>

#include <array>
#include <ctime>

namespace quern::http {
namespace {

// A value that cannot end its line: control characters become "?".
std::string safe_value(std::string_view value) {
  std::string out(value);
  for (char& c : out) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7F) c = '?';
  }
  return out;
}

std::string two_digits(int n) {
  return {static_cast<char>('0' + n / 10 % 10), static_cast<char>('0' + n % 10)};
}

// IMF-fixdate (RFC 9110 5.6.7), which the library leaves to its users.
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

void add_standing_headers(Headers& headers, const std::string& server, const std::string& id) {
  headers.push_back({"server", server});
  headers.push_back({"date", http_date()});
  headers.push_back({"x-request-id", id});
}

void SocketExchange::begin(const RequestHead& head, const std::string& peer, std::string id) {
  request_.method = head.method;
  request_.path = head.path;
  request_.query = head.query;
  request_.headers = head.headers;
  request_.peer = peer;
  request_.id = std::move(id);
  host_ = head.host;
  version_1_0_ = head.version_1_0;
  keep_alive_ = head.keep_alive;
}

AnswerForm SocketExchange::form() const {
  return {request_.method, request_.path, host_, version_1_0_, keep_alive_};
}

// `response` with all its headers.
Response SocketExchange::dressed(const Response& response) const {
  Response out = response;
  for (Header& header : out.headers) header.value = safe_value(header.value);
  add_standing_headers(out.headers, site_.server_name, request_.id);
  if (!origin_.empty()) {
    out.headers.push_back({"access-control-allow-origin", origin_});
    out.headers.push_back(
        {"access-control-expose-headers", "x-request-id, x-quern-seed, x-quern-ignored"});
    out.headers.push_back({"vary", "origin"});
  }
  if (keep_alive_ && version_1_0_) out.headers.push_back({"connection", "keep-alive"});
  return out;
}

bool SocketExchange::put(std::string_view bytes) {
  if (dropped_) return false;
  if (send_all(fd_, bytes, site_.limits.write_stall) != IoState::kOk) dropped_ = true;
  if (!dropped_) bytes_sent_ += bytes.size();
  return !dropped_;
}

void SocketExchange::send(const Response& response) {
  if (started() || dropped_) return;
  status_ = response.status;
  if (site_.stopping.load(std::memory_order_relaxed)) keep_alive_ = false;
  finished_ = write_answer(form(), dressed(response),
                           [this](std::string_view bytes) { return put(bytes); });
}

void SocketExchange::stream(const Response& head, const StreamBody& body) {
  if (started() || dropped_) return;
  status_ = head.status;
  if (version_1_0_ || site_.stopping.load(std::memory_order_relaxed)) keep_alive_ = false;
  finished_ = write_stream(form(), dressed(head), body,
                           [this](std::string_view bytes) { return put(bytes); });
}

// The library says this only while it reads a body, which is not its part here.
void SocketExchange::send_continue() { put("HTTP/1.1 100 Continue\r\n\r\n"); }

bool SocketExchange::client_gone() {
  if (dropped_) return true;
  const PeerState state = peer_state(fd_);
  if (state == PeerState::kOpen) return false;
  if (state == PeerState::kGone) {
    dropped_ = true;
  } else if (!started()) {
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

void SocketExchange::note(std::string_view name, NoteValue value) {
  for (Note& note : notes_) {
    if (note.name != name) continue;
    note.value = std::move(value);
    return;
  }
  notes_.push_back({std::string(name), std::move(value)});
}

}  // namespace quern::http
