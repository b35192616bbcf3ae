// Exchange over a socket: writes status lines, headers, bodies and chunks.
//
// Leaves every decision to its callers. Invariant: at most one final response per begin(), and
// after drop() nothing is written.
#pragma once

#include <string>
#include <string_view>

#include "server/http/connection.h"
#include "server/http/head_parser.h"
#include "server/http/message.h"

namespace quern::http {

// "req-" and 24 random letters and digits.
std::string make_request_id();

class SocketExchange final : public Exchange {
 public:
  SocketExchange(int fd, const Site& site) : fd_(fd), site_(site) {}

  // Takes the parts of the head that handlers see; headers are copied.
  void begin(const RequestHead& head, const std::string& peer, std::string id);
  Request& mutable_request() { return request_; }

  const Request& request() const override { return request_; }
  void send(const Response& response) override;
  bool begin_stream(const Response& response) override;
  bool write(std::string_view piece) override;
  void end_stream() override;
  void abort_stream() override { drop(); }
  bool client_gone() override;

  void send_continue();
  void allow_origin(std::string origin) { origin_ = std::move(origin); }
  void close_after() { keep_alive_ = false; }
  void drop() { dropped_ = true; }

  bool started() const { return started_; }    // the status line has been sent
  bool finished() const { return finished_; }  // the whole answer has been sent
  bool dropped() const { return dropped_; }    // nothing more can or should be sent
  bool closes() const { return !keep_alive_ || !finished_; }

 private:
  std::string head_text(const Response& response, bool chunked, bool with_length) const;
  bool put(std::string_view bytes);

  int fd_;
  const Site& site_;
  Request request_;
  std::string origin_;
  bool version_1_0_ = false;
  bool keep_alive_ = true;
  bool started_ = false;
  bool finished_ = false;
  bool dropped_ = false;
  bool probed_ = false;
};

}  // namespace quern::http
