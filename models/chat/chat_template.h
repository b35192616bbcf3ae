// The chat template of a model: messages in, prompt text out.
//
// A template is a Jinja program taken from a model file, so it is outside input: parsing and
// rendering are bounded in source size, nesting, steps, bytes handled and output. The language is
// the part of Jinja 3.1 that chat templates use, set up as Hugging Face transformers does
// (trim_blocks, lstrip_blocks, loop controls, `tojson` without HTML escapes, raise_exception,
// strftime_now, the immutable sandbox), and gives the same bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/base/json.h"
#include "config/base/result.h"

namespace quern::chat {

struct RenderInput {
  Json messages = Json::array();  // array of objects, as the template expects them
  Json tools;                     // null, or an array of tool definitions
  bool add_generation_prompt = true;
  std::string bos_token;  // text of the model's tokens; empty if the model has none
  std::string eos_token;
  Json extra = Json::object();  // further variables (chat_template_kwargs); win over the above
  int64_t now_unix_s = 0;       // what strftime_now formats; the caller adds its UTC offset
};

// A piece of the prompt. Text that the template wrote may contain control tokens; text that came
// from the request (from_user) must never be searched for them, or a message could forge a role.
// Borders of segments are not borders of tokens: look for control tokens inside template segments
// only, then tokenize the text between two control tokens as one string.
struct PromptSegment {
  std::string text;
  bool from_user = false;

  bool operator==(const PromptSegment&) const = default;
};

// What a template can show, found by rendering small conversations with it.
struct ChatCapabilities {
  bool system_role = false;             // a system message appears in the prompt
  bool tools = false;                   // tool definitions appear
  bool tool_calls = false;              // an assistant's tool calls appear
  bool tool_results = false;            // a message of role "tool" appears
  bool object_arguments = false;        // tool call arguments should be objects, not JSON strings
  bool content_parts = false;           // an array of {type:"text", text} parts works as content
  bool string_content = false;          // a plain string works as content
  bool null_content = false;            // assistant content may be null beside tool calls
  bool generation_prompt = false;       // add_generation_prompt changes the prompt
  bool reasoning_content = false;       // message.reasoning_content of the last turn appears
  bool enable_thinking_switch = false;  // enable_thinking changes the prompt

  bool operator==(const ChatCapabilities&) const = default;
};

namespace detail {
struct CompiledTemplate;
}

// Immutable after parse; render may be called from several threads at once.
class ChatTemplate {
 public:
  // kInvalidInput with line number for syntax errors and exceeded bounds, kUnsupported for Jinja
  // features that chat templates do not use (include, import, extends).
  static Result<std::shared_ptr<const ChatTemplate>> parse(std::string source);

  // Renders; adjacent segments of one kind are merged and none is empty. kInvalidInput with line
  // number if the template calls raise_exception, fails on this input or exceeds a bound.
  Result<std::vector<PromptSegment>> render(const RenderInput& input) const;
  // The same as one string, for display and for comparison.
  Result<std::string> render_text(const RenderInput& input) const;

  const std::string& source() const { return source_; }
  const ChatCapabilities& capabilities() const { return capabilities_; }

  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

 private:
  ChatTemplate() = default;

  std::string source_;
  std::unique_ptr<const detail::CompiledTemplate> compiled_;
  ChatCapabilities capabilities_;
};

}  // namespace quern::chat
