// Order of checks for one request: form, Host, Origin, route and key, body, handler. Whatever fails
// is answered before the body is read.
#include "server/http/connection.h"

#include <algorithm>
#include <exception>

#include "server/http/body_reader.h"
#include "server/http/exchange.h"

namespace quern::http {
namespace {

// Harmless text of the client's own request id, or a fresh one.
std::string request_id(const RequestHead& head) {
  for (const Header& header : head.headers) {
    if (header.name != "x-request-id") continue;
    const bool harmless =
        !header.value.empty() && header.value.size() <= 128 &&
        header.value.find_first_not_of(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
            std::string::npos;
    if (harmless) return header.value;
  }
  return make_request_id();
}

const std::string* find(const Headers& headers, std::string_view name) {
  for (const Header& header : headers) {
    if (header.name == name) return &header.value;
  }
  return nullptr;
}

class RequestServer {
 public:
  RequestServer(Connection& connection, const Site& site)
      : connection_(connection), site_(site), exchange_(connection.fd.get(), site) {}

  AfterServe run() {
    std::optional<Fault> fault = parse_request_head(
        std::string_view(connection_.buffer).substr(0, head_size()), site_.limits, head_);
    connection_.buffer.erase(0, head_size());
    exchange_.begin(head_, connection_.peer, request_id(head_));
    if (fault) return refuse(*fault, true);
    body_pending_ = head_.chunked || head_.content_length > 0;
    if (!admitted()) return leave();
    if (!body_read()) return leave();
    call_handler();
    return leave();
  }

  AccessRecord record() const {
    const Request& request = exchange_.request();
    return {request.id,
            request.peer,
            request.method,
            request.path,
            exchange_.status(),
            exchange_.bytes_sent(),
            Clock::now() - connection_.arrived,
            exchange_.notes()};
  }

 private:
  size_t head_size() const {
    return connection_.head_bytes > 0 ? connection_.head_bytes : connection_.buffer.size();
  }

  AfterServe refuse(const Fault& fault, bool close) {
    Response response = site_.error_body(head_.path, fault.status, fault.message);
    refuse_with(std::move(response), close);
    return leave();
  }

  bool refuse_with(Response response, bool close) {
    if (close || body_pending_) exchange_.close_after();
    if (response.status == 503) {
      response.headers.push_back({"retry-after", std::to_string(site_.limits.retry_after_s)});
    }
    exchange_.send(response);
    return false;
  }

  bool refuse_status(int status, std::string message, Headers headers = {}) {
    Response response = site_.error_body(head_.path, status, std::move(message));
    for (Header& header : headers) response.headers.push_back(std::move(header));
    return refuse_with(std::move(response), false);
  }

  // Everything that is decided from the head alone. False when the answer has been sent.
  bool admitted() {
    if (head_.has_host ? !host_allowed(site_.access, head_.host)
                       : site_.access.check_host && !head_.version_1_0) {
      return refuse_status(403,
                           "This Host name is not served here; use localhost, or start the server "
                           "with --allowed-hosts.");
    }
    if (const std::string* origin = find(head_.headers, "origin")) {
      if (!origin_allowed(site_.access, *origin, head_.host)) {
        return refuse_status(403,
                             "Pages of this origin may not use this server; start it with "
                             "--allowed-origins to permit that.");
      }
      exchange_.allow_origin(*origin);
    }
    const Router::Match match = site_.router.match(head_.method, head_.path);
    if (head_.method == "OPTIONS") return answer_options(match);
    const bool needs_key = match.route == nullptr || match.route->needs_key;
    const auto key = accepted_key(site_.access, head_.headers);
    exchange_.mutable_request().key_index = key.value_or(0);
    if (needs_key && !key) {
      return refuse_status(401,
                           "A valid API key is needed; send it as \"Authorization: Bearer KEY\".",
                           {{"www-authenticate", "Bearer"}});
    }
    return routed(match) && body_acceptable();
  }

  bool routed(const Router::Match& match) {
    if (match.route == nullptr && match.allow.empty()) {
      return refuse_status(404, "There is nothing at this path; see the README for the endpoints.");
    }
    if (match.route == nullptr) {
      return refuse_status(405, "This path takes " + match.allow + " only.",
                           {{"allow", match.allow}});
    }
    if (match.bad_escape) return refuse_status(400, "The path holds a broken percent escape.");
    route_ = match.route;
    exchange_.mutable_request().path_rest = match.rest;
    return true;
  }

  bool answer_options(const Router::Match& match) {
    if (match.allow.empty() && head_.path != "*") {
      return refuse_status(404, "There is nothing at this path; see the README for the endpoints.");
    }
    const std::string methods = match.allow.empty() ? "GET, HEAD, POST" : match.allow + ", OPTIONS";
    Response response{204, "", "", {{"allow", methods}}};
    const std::string* wanted = find(head_.headers, "access-control-request-headers");
    if (find(head_.headers, "origin") != nullptr) {
      response.headers.push_back({"access-control-allow-methods", methods});
      response.headers.push_back({"access-control-max-age", "600"});
      if (wanted != nullptr) {
        response.headers.push_back({"access-control-allow-headers", *wanted});
      }
    }
    return refuse_with(std::move(response), false);
  }

  bool body_acceptable() {
    const std::string* encoding = find(head_.headers, "content-encoding");
    if (encoding != nullptr && !equals_ignoring_case(*encoding, "identity") && !encoding->empty()) {
      return refuse_status(415, "Compressed request bodies are not read; send it uncompressed.");
    }
    if (head_.content_length > site_.limits.max_body_bytes) {
      return refuse_status(413, "The request body is larger than " +
                                    std::to_string(site_.limits.max_body_bytes) +
                                    " bytes; send less.");
    }
    return true;
  }

  bool body_read() {
    if (!body_pending_) return true;
    if (head_.expects_continue && connection_.buffer.empty()) exchange_.send_continue();
    Fault fault;
    const BodyState state = read_body(connection_.fd.get(), head_, site_.limits, connection_.buffer,
                                      exchange_.mutable_request().body, fault);
    if (state == BodyState::kComplete) {
      body_pending_ = false;
      return true;
    }
    if (state == BodyState::kGone) {
      exchange_.drop();
    } else {
      refuse_with(site_.error_body(head_.path, fault.status, fault.message), true);
    }
    return false;
  }

  // The boundary where whatever a handler did becomes an answer.
  void call_handler() {
    bool threw = false;
    try {
      route_->handler(exchange_);
    } catch (const std::exception&) {
      threw = true;
    } catch (...) {
      threw = true;
    }
    if (exchange_.finished()) return;
    if (exchange_.started() || exchange_.client_gone()) {
      exchange_.drop();
      return;
    }
    refuse_with(site_.error_body(head_.path, 500,
                                 threw ? "The server ran into an internal error; try again."
                                       : "The server gave no answer; try again."),
                true);
  }

  AfterServe leave() const {
    if (exchange_.dropped()) return AfterServe::kClose;
    if (exchange_.closes()) return AfterServe::kLinger;
    return AfterServe::kKeep;
  }

  Connection& connection_;
  const Site& site_;
  SocketExchange exchange_;
  RequestHead head_;
  const Route* route_ = nullptr;
  bool body_pending_ = false;
};

}  // namespace

AfterServe serve(Connection& connection, const Site& site) {
  while (true) {
    RequestServer server(connection, site);
    const AfterServe after = server.run();
    if (site.on_answered) site.on_answered(server.record());
    connection.scanned = 0;
    connection.head_bytes = 0;
    connection.started = false;
    connection.arrived = Clock::now();
    if (after != AfterServe::kKeep) return after;
    if (!begins_request(connection.buffer)) return AfterServe::kKeep;
    const HeadProgress progress =
        scan_head(connection.buffer, site.limits, connection.scanned, connection.head_bytes);
    if (progress == HeadProgress::kIncomplete) return AfterServe::kKeep;
  }
}

void refuse_unserved(const Connection& connection, const Site& site, int status,
                     std::string message) {
  // The request line as far as it came, unchecked: good for choosing the form of the error and for
  // the log, not for more.
  const std::string_view buffer = connection.buffer;
  const std::string_view line = buffer.substr(0, buffer.find_first_of("\r\n"));
  const size_t space = std::min(line.find(' '), line.size());
  const std::string_view target = line.substr(std::min(space + 1, line.size()));
  AccessRecord record;
  record.id = make_request_id();
  record.peer = connection.peer;
  record.method = line.substr(0, std::min<size_t>(space, 32));
  record.path = target.substr(0, target.find_first_of(" ?"));
  record.status = status;
  Response response = site.error_body(record.path, status, std::move(message));
  add_standing_headers(response.headers, site.server_name, record.id);
  if (status == 503) {
    response.headers.push_back({"retry-after", std::to_string(site.limits.retry_after_s)});
  }
  write_answer({}, response, [&](std::string_view bytes) {
    record.bytes_sent += send_some(connection.fd.get(), bytes);
    return true;
  });
  record.duration = Clock::now() - connection.arrived;
  if (site.on_answered) site.on_answered(record);
}

}  // namespace quern::http
