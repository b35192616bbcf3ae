// How far a long command is: a bar that rewrites itself on a terminal, elsewhere a line per tenth.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "server/cli/command.h"

namespace quern::cli {

class Progress {
 public:
  // `what` opens the line: "quantizing".
  Progress(const Process& process, std::string what);
  // Ends the line of a bar that was not completed.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(uint64_t done, uint64_t total);

 private:
  using Clock = std::chrono::steady_clock;

  const Process& process_;
  std::string what_;
  Clock::time_point start_ = Clock::now();
  int64_t shown_ = -1;  // steps printed so far
  bool line_open_ = false;
};

}  // namespace quern::cli
