// The program's log: one line per thing worth knowing, written by spdlog.
//
// A Log is a value that main's subcommand makes and passes on; there is no global one. Lines hold
// no prompt and no key. Control characters in what clients sent are replaced, so that a request
// cannot write lines of its own.
#pragma once

#include <memory>
#include <string_view>

#include "config/base/result.h"

namespace spdlog {
class logger;
}  // namespace spdlog

namespace quern {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };

// "debug", "info", "warn", "error", "off".
Result<LogLevel> parse_log_level(std::string_view name);

class Log {
 public:
  // Writes to standard error, from any thread.
  static Log to_stderr(LogLevel level);
  // Writes nothing.
  static Log none() { return Log(nullptr); }

  void debug(std::string_view line) const { write(LogLevel::kDebug, line); }
  void info(std::string_view line) const { write(LogLevel::kInfo, line); }
  void warn(std::string_view line) const { write(LogLevel::kWarn, line); }
  void error(std::string_view line) const { write(LogLevel::kError, line); }
  void write(LogLevel level, std::string_view line) const;

 private:
  explicit Log(std::shared_ptr<spdlog::logger> logger) : logger_(std::move(logger)) {}
  std::shared_ptr<spdlog::logger> logger_;  // null: nothing is written
};

}  // namespace quern
