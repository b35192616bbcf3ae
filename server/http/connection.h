// One connection: serves the requests that have arrived on it, in order.
//
// Runs on a worker thread while a request is being answered and belongs to the server's poll thread
// in between; never to both.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http/access.h"
#include "server/http/head_parser.h"
#include "server/http/limits.h"
#include "server/http/router.h"
#include "server/http/socket.h"

namespace quern::http {

// Writes the body of an error in the form that clients of `path` expect.
using ErrorBody = std::function<Response(std::string_view path, int status, std::string message)>;

// One answered request, for a log. Holds no query, header or body.
struct AccessRecord {
  std::string id;
  std::string peer;
  std::string method;  // with path empty when the connection was refused before a request came
  std::string path;
  int status = 0;  // 0: the client went away before an answer was begun
  uint64_t bytes_sent = 0;
  std::chrono::nanoseconds duration{};  // since the first byte of the head
  std::vector<Note> notes;              // of the handler
};
// Called once per request after its answer, on the thread that gave it; must not throw.
using AnsweredHook = std::function<void(const AccessRecord& record)>;

// What all connections of a server share; immutable while it runs, but for the flag.
struct Site {
  Limits limits;
  AccessPolicy access;
  Router router;
  ErrorBody error_body;
  std::string server_name;            // value of the Server header
  AnsweredHook on_answered;           // may be empty
  std::atomic<bool> stopping{false};  // no further request on any connection
};

// One of a counted number, as long as it is there.
class Counted {
 public:
  Counted() = default;
  explicit Counted(std::atomic<int>& count) : count_(&count) { count_->fetch_add(1); }
  ~Counted() {
    if (count_ != nullptr) count_->fetch_sub(1);
  }
  Counted(Counted&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  Counted& operator=(Counted&& other) noexcept {
    std::swap(count_, other.count_);
    return *this;
  }

 private:
  std::atomic<int>* count_ = nullptr;
};

struct Connection {
  explicit Connection(Fd socket) : fd(std::move(socket)), peer(peer_address(fd.get())) {}

  Counted counted;  // before the descriptor, so that it goes after it
  Fd fd;
  std::string peer;
  std::string buffer;     // received and not yet consumed
  size_t scanned = 0;     // of buffer, by scan_head
  size_t head_bytes = 0;  // of buffer, once the head is complete
  bool lingering = false;
  bool started = false;  // first byte of a head has arrived
  Clock::time_point deadline;
  Clock::time_point arrived = Clock::now();  // the first byte of the head
};

enum class AfterServe { kKeep, kLinger, kClose };

// Answers the request whose head is complete (or faulty) in connection.buffer, and those pipelined
// behind it.
AfterServe serve(Connection& connection, const Site& site);

// Answers a request that reaches no worker, without waiting for the client to take it; the
// connection is to be closed afterwards. `buffer` may hold any part of a head.
void refuse_unserved(const Connection& connection, const Site& site, int status,
                     std::string message);

}  // namespace quern::http
