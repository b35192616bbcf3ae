// The program's log: one line per thing worth knowing, as text for people or JSON for programs.
//
// A Log is a value that main's subcommand makes and passes on; there is no global one. Lines hold
// no prompt and no key. Control characters in what clients sent are replaced in text and escaped in
// JSON, so that a request cannot write lines of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "config/base/result.h"

namespace spdlog {
class logger;
}  // namespace spdlog

namespace quern {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };

// "debug", "info", "warn", "error", "off".
Result<LogLevel> parse_log_level(std::string_view name);

enum class LogFormat { kText, kJson };

// "text", "json".
Result<LogFormat> parse_log_format(std::string_view name);

// A fact of a line. As text: "name=value".
struct LogField {
  std::string_view name;
  std::variant<std::string_view, int64_t, double> value;
};

class Log {
 public:
  // Writes to standard error, from any thread. Text: "TIME LEVEL LINE". JSON: an object with
  // "time", "level", "message" and the line's fields.
  static Log to_stderr(LogLevel level, LogFormat format = LogFormat::kText);
  // Writes nothing.
  static Log none() { return Log(nullptr, LogFormat::kText); }

  void debug(std::string_view line) const { write(LogLevel::kDebug, line); }
  void info(std::string_view line) const { write(LogLevel::kInfo, line); }
  void warn(std::string_view line) const { write(LogLevel::kWarn, line); }
  void error(std::string_view line) const { write(LogLevel::kError, line); }
  void write(LogLevel level, std::string_view line) const { write(level, line, {}, {}); }
  // A line with facts. Text shows `line`, then `extra`; JSON has `event` as its message and all of
  // `fields` and `extra` as members.
  struct Record {
    std::string_view event;
    std::span<const LogField> fields;
  };
  void write(LogLevel level, std::string_view line, const Record& record,
             std::span<const LogField> extra) const;

 private:
  Log(std::shared_ptr<spdlog::logger> logger, LogFormat format)
      : logger_(std::move(logger)), format_(format) {}
  std::shared_ptr<spdlog::logger> logger_;  // null: nothing is written
  LogFormat format_;
};

}  // namespace quern
