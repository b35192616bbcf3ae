#include "config/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <string>

namespace quern {
namespace {

struct LevelName {
  LogLevel level;
  std::string_view name;
  spdlog::level::level_enum spdlog_level;
};

constexpr std::array kLevels = {
    LevelName{LogLevel::kDebug, "debug", spdlog::level::debug},
    LevelName{LogLevel::kInfo, "info", spdlog::level::info},
    LevelName{LogLevel::kWarn, "warn", spdlog::level::warn},
    LevelName{LogLevel::kError, "error", spdlog::level::err},
    LevelName{LogLevel::kOff, "off", spdlog::level::off},
};

spdlog::level::level_enum spdlog_level(LogLevel level) {
  return kLevels[static_cast<size_t>(level)].spdlog_level;
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view name) {
  for (const LevelName& entry : kLevels) {
    if (entry.name == name) return entry.level;
  }
  return Error(ErrorKind::kInvalidInput,
               "log level \"" + std::string(name) + "\" is none of debug, info, warn, error, off");
}

Log Log::to_stderr(LogLevel level) {
  if (level == LogLevel::kOff) return none();
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("quern", std::move(sink));
  logger->set_level(spdlog_level(level));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
  logger->flush_on(spdlog::level::info);
  return Log(std::move(logger));
}

void Log::write(LogLevel level, std::string_view line) const {
  if (logger_ == nullptr) return;
  std::string clean(line);
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  logger_->log(spdlog_level(level), "{}", clean);
}

}  // namespace quern
