// A server that does to each connection what a test says, right or wrong.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace quern::tests {

class ScriptedConnection {
 public:
  ScriptedConnection(int fd, int index) : fd_(fd), index_(index) {}

  // How many connections came before this one.
  int index() const { return index_; }
  // Reads a request of known length; its body. Empty when the client has gone.
  std::string read_request();
  // Head of the request that was read last.
  const std::string& head() const { return head_; }
  void send(std::string_view bytes) const;
  // Closes with a reset instead of an end.
  void reset() const;
  // Waits until the client has closed, 20 s at most.
  void wait_for_close() const;

 private:
  int fd_;
  int index_;
  std::string head_;
};

class ScriptedServer {
 public:
  // `script` runs on a thread of its own for each connection, which is closed when it returns.
  explicit ScriptedServer(std::function<void(ScriptedConnection&)> script);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  int port() const { return port_; }
  int n_connections() const { return n_connections_; }

 private:
  void accept_all();

  std::function<void(ScriptedConnection&)> script_;
  int fd_ = -1;
  int port_ = 0;
  std::atomic<int> n_connections_{0};
  std::vector<std::thread> connections_;
  std::thread accepting_;
};

}  // namespace quern::tests
