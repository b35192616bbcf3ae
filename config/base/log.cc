#include "config/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <charconv>
#include <chrono>
#include <ctime>
#include <string>

#include "config/base/json.h"

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

// RFC 3339 in UTC with milliseconds.
std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  const size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::string fraction = std::to_string(ms % 1000);
  fraction.insert(0, 3 - fraction.size(), '0');
  return std::string(text.data(), n) + "." + fraction + "Z";
}

std::string text_of(std::string_view value) { return std::string(value); }
std::string text_of(int64_t value) { return std::to_string(value); }
// One digit behind the point: these are times for people.
std::string text_of(double value) {
  std::array<char, 64> text{};
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, 1);
  return error == std::errc() ? std::string(text.data(), end) : std::string("?");
}

std::string value_text(const std::variant<std::string_view, int64_t, double>& value) {
  return std::visit([](const auto& held) { return text_of(held); }, value);
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view name) {
  for (const LevelName& entry : kLevels) {
    if (entry.name == name) return entry.level;
  }
  return Error(ErrorKind::kInvalidInput,
               "log level \"" + std::string(name) + "\" is none of debug, info, warn, error, off");
}

Result<LogFormat> parse_log_format(std::string_view name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  return Error(ErrorKind::kInvalidInput,
               "log format \"" + std::string(name) + "\" is none of text, json");
}

Log Log::to_stderr(LogLevel level, LogFormat format) {
  if (level == LogLevel::kOff) return none();
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (format == LogFormat::kJson) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  }
  auto logger = std::make_shared<spdlog::logger>("quern", std::move(sink));
  logger->set_level(spdlog_level(level));
  logger->set_pattern(format == LogFormat::kJson ? "%v" : "%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
  logger->flush_on(spdlog::level::info);
  return Log(std::move(logger), format);
}

void Log::write(LogLevel level, std::string_view line, const Record& record,
                std::span<const LogField> extra) const {
  if (logger_ == nullptr || !logger_->should_log(spdlog_level(level))) return;
  std::string text;
  if (format_ == LogFormat::kJson) {
    Json object;
    object["time"] = utc_now();
    object["level"] = kLevels[static_cast<size_t>(level)].name;
    object["message"] = record.event.empty() ? line : record.event;
    for (const auto fields : {record.fields, extra}) {
      for (const LogField& field : fields) {
        std::visit([&](const auto& value) { object[std::string(field.name)] = value; },
                   field.value);
      }
    }
    text = dump_json(object);
  } else {
    text = line;
    for (const LogField& field : extra) {
      text.append(" ").append(field.name).append("=").append(value_text(field.value));
    }
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  logger_->log(spdlog_level(level), "{}", text);
}

}  // namespace quern
