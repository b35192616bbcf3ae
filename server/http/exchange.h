// Exchange over a socket: adds the headers that every answer has, sends what the HTTP library makes
// of it, and keeps track of how far it has got.
//
// Leaves every decision to its callers. Invariant: at most one final response per begin(), and
// after drop() nothing is written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/http/connection.h"
#include "server/http/head_parser.h"
#include "server/http/library_server.h"
#include "server/http/message.h"

namespace quern::http {

// "req-" and 24 random letters and digits.
std::string make_request_id();

// Appends the headers that every answer has: server, date, x-request-id.
void add_standing_headers(Headers& headers, const std::string& server, const std::string& id);

class SocketExchange final : public Exchange {
 public:
  SocketExchange(int fd, const Site& site) : fd_(fd), site_(site) {}

  // Takes the parts of the head that handlers see; headers are copied.
  void begin(const RequestHead& head, const std::string& peer, std::string id);
  Request& mutable_request() { return request_; }

  const Request& request() const override { return request_; }
  void send(const Response& response) override;
  void stream(const Response& head, const StreamBody& body) override;
  bool client_gone() override;
  void note(std::string_view name, NoteValue value) override;

  void send_continue();
  void allow_origin(std::string origin) { origin_ = std::move(origin); }
  void close_after() { keep_alive_ = false; }
  void drop() { dropped_ = true; }

  bool started() const { return status_ != 0; }  // an answer has been begun
  bool finished() const { return finished_; }    // the whole answer has been sent
  bool dropped() const { return dropped_; }      // nothing more can or should be sent
  bool closes() const { return !keep_alive_ || !finished_; }
  int status() const { return status_; }  // of the answer; 0: none
  uint64_t bytes_sent() const { return bytes_sent_; }
  const std::vector<Note>& notes() const { return notes_; }

 private:
  AnswerForm form() const;
  Response dressed(const Response& response) const;
  bool put(std::string_view bytes);

  int fd_;
  const Site& site_;
  Request request_;
  std::string origin_;
  std::string host_;
  bool version_1_0_ = false;
  bool keep_alive_ = true;
  bool finished_ = false;
  bool dropped_ = false;
  bool probed_ = false;
  int status_ = 0;
  uint64_t bytes_sent_ = 0;
  std::vector<Note> notes_;
};

}  // namespace quern::http
