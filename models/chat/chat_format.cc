// Implements chat_format.h.
#include "models/chat/chat_format.h"

#include <array>
#include <utility>

namespace quern::chat {
namespace {

struct BuiltinRow {
  std::string_view name;
  std::string_view source;
};

constexpr std::string_view kChatml =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

constexpr std::string_view kPlain =
    "{% for message in messages %}"
    "{{ message.content }}{% if not loop.last %}{{ '\\n' }}{% endif %}"
    "{% endfor %}";

constexpr std::array<BuiltinRow, 2> kBuiltins = {{{"chatml", kChatml}, {"plain", kPlain}}};

std::string place(size_t index) { return "messages[" + std::to_string(index) + "]"; }

// The text of content parts, joined as the other servers do: without anything between.
Result<std::string> joined_parts(const Json& parts, size_t index) {
  std::string out;
  for (const Json& part : parts) {
    const bool is_text = part.is_object() && part.contains("text") && part["text"].is_string() &&
                         (!part.contains("type") || part["type"] == "text");
    if (!is_text) {
      return Error(ErrorKind::kInvalidInput,
                   place(index) +
                       ".content holds a part that is not text; this model takes text "
                       "only, so send parts of type \"text\".");
    }
    out += part["text"].get_ref<const std::string&>();
  }
  return out;
}

Status prepare_content(Json& message, size_t index, const ChatCapabilities& capabilities) {
  if (!message.contains("content")) message["content"] = nullptr;
  Json& content = message["content"];
  const bool only_parts = capabilities.content_parts && !capabilities.string_content;
  if (content.is_array()) {
    auto text = joined_parts(content, index);
    if (!text.ok()) return text.error();
    if (!capabilities.content_parts) content = std::move(text).value();
  } else if (content.is_string() && only_parts) {
    content = Json::array({Json{{"type", "text"}, {"text", std::move(content)}}});
  } else if (content.is_null() && !capabilities.null_content) {
    content = only_parts ? Json::array() : Json("");
  }
  return ok_status();
}

Status prepare_calls(Json& message, size_t index, const ChatCapabilities& capabilities) {
  if (!message.contains("tool_calls") || !message["tool_calls"].is_array()) return ok_status();
  for (Json& call : message["tool_calls"]) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) continue;
    Json& function = call["function"];
    if (!function.contains("arguments")) continue;
    Json& arguments = function["arguments"];
    if (capabilities.object_arguments && arguments.is_string()) {
      const auto& text = arguments.get_ref<const std::string&>();
      auto parsed = text.empty() ? Result<Json>(Json::object()) : parse_json(text);
      if (!parsed.ok()) {
        return parsed.error().with_context(place(index) + ".tool_calls: the arguments of a call");
      }
      arguments = std::move(parsed).value();
    } else if (!capabilities.object_arguments && !arguments.is_string()) {
      arguments = dump_json(arguments);
    }
  }
  return ok_status();
}

// Templates read the model's reasoning under one of several names; give it under all.
void spread_reasoning(Json& message) {
  static constexpr std::array<const char*, 3> kNames = {"reasoning_content", "reasoning",
                                                        "thinking"};
  Json found;
  for (const char* name : kNames) {
    if (found.is_null() && message.contains(name)) found = message[name];
  }
  if (!found.is_string()) return;
  for (const char* name : kNames) {
    if (!message.contains(name)) message[name] = found;
  }
}

}  // namespace

std::optional<std::string_view> builtin_template(std::string_view name) {
  for (const BuiltinRow& row : kBuiltins) {
    if (row.name == name) return row.source;
  }
  return std::nullopt;
}

std::vector<std::string_view> builtin_template_names() {
  std::vector<std::string_view> names;
  for (const BuiltinRow& row : kBuiltins) names.push_back(row.name);
  return names;
}

Result<Json> prepare_messages(const Json& messages, const ChatCapabilities& capabilities) {
  if (!messages.is_array()) {
    return Error(ErrorKind::kInvalidInput, "messages must be an array of message objects.");
  }
  Json out = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].is_object()) {
      return Error(ErrorKind::kInvalidInput, place(i) + " must be an object.");
    }
    Json message = messages[i];
    QUERN_RETURN_IF_ERROR(prepare_content(message, i, capabilities));
    QUERN_RETURN_IF_ERROR(prepare_calls(message, i, capabilities));
    spread_reasoning(message);
    out.push_back(std::move(message));
  }
  return out;
}

}  // namespace quern::chat
