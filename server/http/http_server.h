// The HTTP server: sockets, threads and limits around a table of routes. Knows no language model.
//
// One poll thread accepts, waits for request heads and for idle connections, so that slow or silent
// clients cost no thread; a complete head goes to a worker, which answers and hands the connection
// back. Routes marked quick have a thread of their own. What does not fit gets a 503.
//
// Two parts: the fence (this poll thread, head_parser, body_reader, limits), which is ours, and the
// HTTP library behind it (cpp-httplib, in library_server), which turns answers into messages. The
// library does not get the socket because on a bare one release 0.11.4, the one of Debian 12,
// failed 11 of our 14 raw-socket probes (forms of Content-Length, a length beside a coding, missing
// and double Host, chunk size -2, the body limit on chunks, 431, 405) and closed its listener after
// one failing accept(); tests/server/http holds whatever release is used to the same answers.
// Source: RFC 9110, RFC 9112.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "server/http/connection.h"

namespace quern::http {

struct ServerOptions {
  std::string host = "localhost";  // "localhost": 127.0.0.1 and, where there is one, ::1
  int port = 0;                    // 0: any free one
  Limits limits;
  AccessPolicy access;
  ErrorBody error_body;
  std::string server_name = "quern";
  AnsweredHook on_answered;  // empty: no access log
};

struct ServerCounters {
  uint64_t accepted = 0;  // connections
  uint64_t refused = 0;   // connections and requests answered 503 for lack of room
  int open = 0;           // connections now
  int busy = 0;           // requests being answered or waiting for a thread
};

class HttpServer {
 public:
  // Binds the addresses; nothing is answered before start().
  static Result<std::unique_ptr<HttpServer>> create(ServerOptions options, Router router);
  virtual ~HttpServer() = default;

  virtual Status start() = 0;
  virtual int port() const = 0;
  // "127.0.0.1:8080", "[::1]:8080".
  virtual std::vector<std::string> addresses() const = 0;
  virtual ServerCounters counters() const = 0;
  // Closes the listeners and idle connections; requests in progress go on.
  virtual void stop_accepting() = 0;
  // Waits until no request is in progress. False when `deadline` came first.
  virtual bool wait_idle(std::chrono::steady_clock::time_point deadline) = 0;
  // Cuts what is left and ends all threads. Idempotent; also done on destruction.
  virtual void stop() = 0;
};

}  // namespace quern::http
