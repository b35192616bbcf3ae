// Lines of the log: what clients sent stays on its line, as text and as JSON.
#include "config/base/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "config/base/json.h"

namespace quern {
namespace {

constexpr std::string_view kHostile = "a\"b\\c\nd\x1b[31m\x7f\xff\xc3\xa9{}%s";

std::string logged(LogFormat format, LogLevel level, std::string_view line,
                   std::span<const LogField> fields, std::span<const LogField> extra) {
  testing::internal::CaptureStderr();
  const Log log = Log::to_stderr(LogLevel::kInfo, format);
  log.write(level, line, {"event", fields}, extra);
  return testing::internal::GetCapturedStderr();
}

TEST(Log, JsonHoldsEverythingOnOneLine) {
  const std::array<LogField, 2> fields = {{{"path", kHostile}, {"n", int64_t{-3}}}};
  const std::array<LogField, 1> extra = {{{"ms", 1.25}}};
  const std::string text = logged(LogFormat::kJson, LogLevel::kWarn, "line", fields, extra);
  ASSERT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const auto parsed = parse_json(std::string_view(text).substr(0, text.size() - 1));
  ASSERT_TRUE(parsed.ok()) << text;
  EXPECT_EQ((*parsed)["level"], "warn");
  EXPECT_EQ((*parsed)["message"], "event");
  EXPECT_EQ((*parsed)["n"], -3);
  EXPECT_EQ((*parsed)["ms"], 1.25);
  const auto path = (*parsed)["path"].get<std::string>();
  EXPECT_TRUE(path.starts_with("a\"b\\c\nd\x1b[31m")) << path;
  EXPECT_NE(path.find("\xc3\xa9{}%s"), std::string::npos);
  EXPECT_EQ((*parsed)["time"].get<std::string>().size(), 24U);
}

TEST(Log, TextHasNoControlCharacters) {
  const std::array<LogField, 1> extra = {{{"model", kHostile}}};
  const std::string text = logged(LogFormat::kText, LogLevel::kInfo, kHostile, {}, extra);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_NE(text.find("a\"b\\c?d?[31m?"), std::string::npos) << text;
  EXPECT_NE(text.find(" model=a\"b"), std::string::npos) << text;
}

TEST(Log, LevelsAndNames) {
  EXPECT_EQ(logged(LogFormat::kJson, LogLevel::kDebug, "x", {}, {}), "");
  EXPECT_TRUE(parse_log_format("json").ok());
  EXPECT_FALSE(parse_log_format("xml").ok());
}

}  // namespace
}  // namespace quern
