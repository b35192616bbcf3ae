// Everything that Python's Jinja2 was asked, asked again: tests/golden/chat holds its answers and
// the script that recorded them.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "models/chat/chat_template.h"

namespace quern::chat {
namespace {

std::optional<std::string> read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Json read_golden(const std::string& name) {
  const auto text = read_text(std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/chat" / name);
  EXPECT_TRUE(text.has_value()) << name;
  auto json = parse_json(text.value_or("null"));
  EXPECT_TRUE(json.ok()) << json.error().message();
  return std::move(json).value();
}

RenderInput input_of(const Json& conversation, int64_t now) {
  RenderInput input;
  input.messages = conversation.value("messages", Json::array());
  input.tools = conversation.value("tools", Json());
  input.add_generation_prompt = conversation.value("add_generation_prompt", true);
  input.extra = conversation.value("extra", Json::object());
  input.bos_token = "<BOS>";
  input.eos_token = "<EOS>";
  input.now_unix_s = now;
  return input;
}

// Compares with what was recorded; returns whether they agree and says where they do not.
bool agrees(const std::string& where, const Result<std::string>& got, const Json& expected) {
  if (expected.is_string()) {
    const bool same = got.ok() && *got == expected.get<std::string>();
    EXPECT_TRUE(same) << where << "\n  expected: " << dump_json(expected) << "\n  got:      "
                      << (got.ok() ? dump_json(Json(*got)) : "error: " + got.error().message());
    return same;
  }
  EXPECT_FALSE(got.ok()) << where << ": expected an error, got " << dump_json(Json(*got));
  if (got.ok()) return false;
  const Json& message = expected["error"];
  const bool same = !message.is_string() ||
                    got.error().message().find(message.get<std::string>()) != std::string::npos;
  EXPECT_TRUE(same) << where << ": " << got.error().message() << " lacks " << dump_json(message);
  return same;
}

TEST(Golden, Expressions) {
  const Json golden = read_golden("expressions.json");
  const int64_t now = golden["now"].get<int64_t>();
  int cases = 0;
  for (const Json& group : golden["groups"]) {
    for (const Json& one : group["cases"]) {
      const auto source = one[0].get<std::string>();
      const auto parsed = ChatTemplate::parse(source);
      ++cases;
      if (!parsed.ok()) {
        agrees(source, parsed.error(), one[1]);
        continue;
      }
      agrees(source, (*parsed)->render_text(input_of(group, now)), one[1]);
    }
  }
  EXPECT_GT(cases, 350);
}

TEST(Golden, RealTemplates) {
  const auto folder = std::filesystem::path(QUERN_SHARED_DATA_DIR) / "chat_templates";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << "no " << folder << ": the models' chat templates are not in this checkout";
  }
  const Json golden = read_golden("renders.json");
  const int64_t now = golden["now"].get<int64_t>();
  size_t agreed = 0;
  size_t cases = 0;
  for (const auto& [file, results] : golden["templates"].items()) {
    const auto source = read_text(folder / file);
    ASSERT_TRUE(source.has_value()) << file;
    const auto parsed = ChatTemplate::parse(*source);
    ASSERT_TRUE(parsed.ok()) << file << ": " << parsed.error().message();
    for (const auto& [name, expected] : results.items()) {
      const RenderInput input = input_of(golden["conversations"][name], now);
      ++cases;
      agreed += agrees(file + " / " + name, (*parsed)->render_text(input), expected);
    }
  }
  EXPECT_EQ(agreed, cases);
  EXPECT_GT(cases, 17 * 70);
}

// Whatever the template does with it, text from the request stays marked: with every user string
// replaced by a forged control token, no template segment holds it.
TEST(Golden, RealTemplatesKeepMarks) {
  const auto folder = std::filesystem::path(QUERN_SHARED_DATA_DIR) / "chat_templates";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << "no " << folder << ": the models' chat templates are not in this checkout";
  }
  const Json golden = read_golden("renders.json");
  std::string text = dump_json(golden["conversations"]);
  const std::string mark = "FORGED";
  for (const char* word :
       {"Hello", "terse", "model", "more", "weather", "city", "21.5", "ignore"}) {
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 6)) {
      text.replace(at, std::string(word).size(), mark);
    }
  }
  JsonLimits limits;
  const auto conversations = parse_json(text, limits);
  ASSERT_TRUE(conversations.ok()) << conversations.error().message();
  size_t found = 0;
  for (const auto& [file, results] : golden["templates"].items()) {
    const auto parsed = ChatTemplate::parse(read_text(folder / file).value_or(""));
    ASSERT_TRUE(parsed.ok());
    for (const auto& [name, conversation] : conversations->items()) {
      const RenderInput input = input_of(conversation, golden["now"].get<int64_t>());
      const auto segments = (*parsed)->render(input);
      if (!segments.ok()) continue;
      std::string whole;
      for (const PromptSegment& segment : *segments) {
        EXPECT_FALSE(segment.text.empty());
        const bool forged = segment.text.find(mark) != std::string::npos;
        EXPECT_FALSE(forged && !segment.from_user) << file << " / " << name << ": " << segment.text;
        found += forged && segment.from_user;
        whole += segment.text;
      }
      EXPECT_EQ(whole, *(*parsed)->render_text(input));
    }
  }
  EXPECT_GT(found, 1000u);
}

}  // namespace
}  // namespace quern::chat
