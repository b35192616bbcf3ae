// Reshaping of messages, built-in templates, and what probing finds in real templates.
#include "models/chat/chat_format.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace quern::chat {
namespace {

Json parse(const std::string& text) { return *parse_json(text); }

std::string rendered(std::string_view name, const std::string& messages) {
  const auto made = ChatTemplate::parse(std::string(*builtin_template(name)));
  EXPECT_TRUE(made.ok());
  RenderInput input;
  input.messages = parse(messages);
  const auto text = (*made)->render_text(input);
  return text.ok() ? *text : text.error().message();
}

TEST(Builtin, Templates) {
  const char* messages =
      R"([{"role":"system","content":"S"},{"role":"user","content":"Once upon"}])";
  EXPECT_EQ(rendered("chatml", messages),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nOnce upon<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(rendered("plain", messages), "S\nOnce upon");
  EXPECT_EQ(rendered("plain", R"([{"role":"user","content":"Once"}])"), "Once");
  EXPECT_FALSE(builtin_template("nope").has_value());
  for (const std::string_view name : builtin_template_names()) {
    EXPECT_TRUE(builtin_template(name).has_value());
  }
}

TEST(Prepare, ContentTakesTheShapeThatTheTemplateReads) {
  ChatCapabilities plain;
  plain.string_content = true;
  const Json parts = parse(
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])");
  EXPECT_EQ((*prepare_messages(parts, plain))[0]["content"], "ab");
  ChatCapabilities typed = plain;
  typed.content_parts = true;
  EXPECT_EQ((*prepare_messages(parts, typed))[0]["content"], parts[0]["content"]);
  typed.string_content = false;
  const Json text = parse(R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(dump_json((*prepare_messages(text, typed))[0]["content"]),
            R"([{"type":"text","text":"a"}])");
  EXPECT_EQ((*prepare_messages(parse(R"([{"role":"assistant"}])"), plain))[0]["content"], "");
}

TEST(Prepare, ArgumentsAndReasoning) {
  ChatCapabilities capabilities;
  capabilities.object_arguments = true;
  const Json call = parse(
      R"([{"role":"assistant","content":null,"reasoning":"hm","tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]}])");
  const auto prepared = prepare_messages(call, capabilities);
  ASSERT_TRUE(prepared.ok());
  EXPECT_EQ((*prepared)[0]["tool_calls"][0]["function"]["arguments"]["a"], 1);
  EXPECT_EQ((*prepared)[0]["reasoning_content"], "hm");
  EXPECT_EQ((*prepared)[0]["thinking"], "hm");
  capabilities.object_arguments = false;
  const auto back = prepare_messages(*prepared, capabilities);
  EXPECT_EQ((*back)[0]["tool_calls"][0]["function"]["arguments"], "{\"a\":1}");
}

TEST(Prepare, Refusals) {
  ChatCapabilities capabilities;
  capabilities.object_arguments = true;
  for (const char* bad :
       {"{}", "[1]", R"([{"role":"user","content":[{"type":"image_url","image_url":"x"}]}])",
        R"([{"role":"user","content":["x"]}])",
        R"([{"role":"assistant","tool_calls":[{"function":{"arguments":"{"}}]}])"}) {
    EXPECT_FALSE(prepare_messages(parse(bad), capabilities).ok()) << bad;
  }
}

struct Expected {
  const char* file;
  bool system, tools, object_arguments, thinking_switch;
};

TEST(Capabilities, OfRealTemplates) {
  const auto folder = std::filesystem::path(QUERN_SHARED_DATA_DIR) / "chat_templates";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << "no " << folder << ": the models' chat templates are not in this checkout";
  }
  const Expected rows[] = {
      {"Qwen-Qwen3-0.6B.jinja", true, true, false, true},
      {"Qwen-Qwen2.5-7B-Instruct.jinja", true, true, true, false},
      {"google-gemma-2-2b-it.jinja", false, false, false, false},
      {"meta-llama-Llama-3.2-3B-Instruct.jinja", true, true, true, false},
      {"microsoft-Phi-3.5-mini-instruct.jinja", true, false, false, false},
  };
  for (const Expected& row : rows) {
    std::ifstream file(folder / row.file, std::ios::binary);
    std::ostringstream source;
    source << file.rdbuf();
    const auto made = ChatTemplate::parse(source.str());
    ASSERT_TRUE(made.ok()) << row.file;
    const ChatCapabilities& found = (*made)->capabilities();
    EXPECT_EQ(found.system_role, row.system) << row.file;
    EXPECT_EQ(found.tools, row.tools) << row.file;
    EXPECT_EQ(found.object_arguments, row.object_arguments) << row.file;
    EXPECT_EQ(found.enable_thinking_switch, row.thinking_switch) << row.file;
    EXPECT_TRUE(found.string_content) << row.file;
    EXPECT_TRUE(found.generation_prompt) << row.file;
  }
}

}  // namespace
}  // namespace quern::chat
