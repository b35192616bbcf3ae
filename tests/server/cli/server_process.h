// `quern serve` as a process of its own, for tests that look at it from outside.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "config/base/json.h"

namespace quern::testing {

class ServerProcess {
 public:
  // Returns once the server says where it listens, or has ended. `log`: where its standard error
  // goes.
  explicit ServerProcess(const std::vector<std::string>& options = {},
                         const std::string& log = "/dev/null");
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  int port() const { return port_; }  // 0: it does not listen
  // What it printed up to its address.
  const std::string& summary() const { return summary_; }
  void signal(int number) const;
  // Its exit code, or -1 when it does not end in time.
  int wait(std::chrono::milliseconds timeout);
  Json ask(const std::string& prompt) const;
  // The first sample of a metric; null when there is none.
  Json metrics(const std::string& name) const;

 private:
  void read_port();

  pid_t pid_ = 0;
  int out_ = -1;
  int port_ = 0;
  std::string summary_;
};

}  // namespace quern::testing
