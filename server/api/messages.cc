// One message at a time; only known members are passed on to the template.
#include "server/api/messages.h"

#include <array>
#include <string>

#include "server/api/fields.h"

namespace quern::api {
namespace {

constexpr std::array<std::string_view, 5> kCopied = {"name", "tool_call_id", "tool_name",
                                                     "reasoning_content", "thinking"};

MaybeError wrong(const std::string& path, std::string_view expected) {
  return field_error(path, "'" + path + "' must be " + std::string(expected) + ".");
}

MaybeError check_parts(const Json& parts, const std::string& path) {
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string at = path + "[" + std::to_string(i) + "]";
    if (!parts[i].is_object()) return wrong(at, "an object with \"type\"");
    const std::string type = read_string(parts[i], "type");
    if (type != "text") {
      return field_error(at + ".type", "'" + at +
                                           ".type' must be \"text\": this model reads no images, "
                                           "audio or files.");
    }
    const Json* text = find_field(parts[i], "text");
    if (text == nullptr || !text->is_string()) return wrong(at + ".text", "a string");
  }
  return std::nullopt;
}

MaybeError check_content(const Json& message, const std::string& role, const std::string& path) {
  const Json* content = find_field(message, "content");
  const Json* images = find_field(message, "images");
  if (images != nullptr && !images->empty()) {
    return field_error(path + ".images", "'" + path + ".images': this model reads no images.");
  }
  if (content == nullptr) {
    if (role == "assistant" && find_field(message, "tool_calls") != nullptr) return std::nullopt;
    return wrong(path + ".content", "a string");
  }
  if (content->is_string()) return std::nullopt;
  if (!content->is_array()) return wrong(path + ".content", "a string or an array of text parts");
  return check_parts(*content, path + ".content");
}

MaybeError check_tools(const Json& message, const std::string& role, const ServedModel& model,
                       const std::string& path) {
  const chat::ChatCapabilities& can = model.chat_template->capabilities();
  if (role == "tool" && !can.tool_results) {
    return field_error(path + ".role",
                       "'" + path + ".role' is \"tool\", which this model's template cannot show.");
  }
  const Json* calls = find_field(message, "tool_calls");
  if (calls == nullptr) return std::nullopt;
  if (!calls->is_array()) return wrong(path + ".tool_calls", "an array");
  if (!calls->empty() && !can.tool_calls) {
    return field_error(path + ".tool_calls", "'" + path +
                                                 ".tool_calls' cannot be shown by this model's "
                                                 "template; leave them out.");
  }
  for (const Json& call : *calls) {
    const Json* function = find_field(call, "function");
    if (function == nullptr || !function->is_object() || read_string(*function, "name").empty()) {
      return wrong(path + ".tool_calls", "objects with \"function\": {\"name\", \"arguments\"}");
    }
  }
  return std::nullopt;
}

std::string plain_text(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string out;
  for (const Json& part : content) {
    if (!out.empty()) out += "\n";
    out += read_string(part, "text");
  }
  return out;
}

MaybeError check_message(const Json& message, size_t index, const ServedModel& model, Json& clean) {
  const std::string path = "messages[" + std::to_string(index) + "]";
  if (!message.is_object()) return wrong(path, "an object with \"role\" and \"content\"");
  std::string role = read_string(message, "role");
  if (role == "developer") role = "system";
  if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
    return wrong(path + ".role", "\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
  }
  if (MaybeError error = check_content(message, role, path)) return error;
  if (MaybeError error = check_tools(message, role, model, path)) return error;
  clean = Json::object();
  clean["role"] = role;
  const Json* content = find_field(message, "content");
  clean["content"] = content == nullptr ? Json() : *content;
  for (const std::string_view name : kCopied) {
    const Json* value = find_field(message, name);
    if (value == nullptr) continue;
    if (!value->is_string()) return wrong(path + "." + std::string(name), "a string");
    clean[std::string(name)] = *value;
  }
  const Json* calls = find_field(message, "tool_calls");
  if (calls != nullptr && !calls->empty()) clean["tool_calls"] = *calls;
  return std::nullopt;
}

}  // namespace

MaybeError check_messages(const Json& messages, const ServedModel& model, Json& out) {
  if (messages.empty() || messages.size() > kMaxMessages) {
    return wrong("messages", "an array of 1 to " + std::to_string(kMaxMessages) + " messages");
  }
  const bool has_system = model.chat_template->capabilities().system_role;
  out = Json::array();
  std::string system;
  for (size_t i = 0; i < messages.size(); ++i) {
    Json clean;
    if (MaybeError error = check_message(messages[i], i, model, clean)) return error;
    if (clean["role"] == "system" && !has_system) {
      system += plain_text(clean["content"]) + "\n\n";
      continue;
    }
    if (clean["role"] == "user" && !system.empty()) {
      clean["content"] = system + plain_text(clean["content"]);
      system.clear();
    }
    out.push_back(std::move(clean));
  }
  if (system.empty()) return std::nullopt;
  return field_error("messages",
                     "This model's template has no system role and no user message follows the "
                     "system message that could carry it.");
}

}  // namespace quern::api
