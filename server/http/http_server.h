// The HTTP server: sockets, threads and limits around a table of routes. Knows no language model.
//
// One poll thread accepts, waits for request heads and for idle connections, so that slow or silent
// clients cost no thread; a complete head goes to a worker, which answers and hands the connection
// back. Routes marked quick have a thread of their own. What does not fit gets a 503.
//
// Why no library: the one at hand (cpp-httplib 0.11, Debian 12) closes its listener for ever when
// accept() fails once, has no deadline for a whole head, drops connections without an answer when
// its queue is full and reads chunked bodies without bound; fencing these needs an accept loop, a
// head parser and a body reader of our own, after which nothing of it was left in use.
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
