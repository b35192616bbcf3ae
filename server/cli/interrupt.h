// SIGINT and SIGTERM as a flag, for commands that clean up before they end.
#pragma once

#include <atomic>

namespace quern::cli {

// Of a command that a signal ended: 128 + SIGINT, as shells have it.
inline constexpr int kExitInterrupted = 130;

// While one lives, the signals set flag() instead of ending the process; a second signal ends it.
// One at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  const std::atomic<bool>& flag() const;
};

}  // namespace quern::cli
