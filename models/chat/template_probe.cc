// Implements template_probe.h: each probe hides a word in one field and looks for it in the prompt.
#include "models/chat/template_probe.h"

#include <optional>
#include <string>
#include <utility>

namespace quern::chat {
namespace {

constexpr char kNeedle[] = "quernneedle";

Json message(const char* role, Json content) {
  return Json{{"role", role}, {"content", std::move(content)}};
}

Json text_parts(const char* text) { return Json::array({Json{{"type", "text"}, {"text", text}}}); }

Json tool_call(Json arguments) {
  return Json{{"id", "call00001"},
              {"type", "function"},
              {"function", Json{{"name", "lookup"}, {"arguments", std::move(arguments)}}}};
}

class Probe {
 public:
  explicit Probe(const ProbeRender& render) : render_(render) {}

  std::optional<std::string> render(Json messages, Json tools = nullptr, bool generation = true,
                                    Json extra = Json::object()) const {
    RenderInput input;
    input.messages = std::move(messages);
    input.tools = std::move(tools);
    input.add_generation_prompt = generation;
    input.extra = std::move(extra);
    auto text = render_(input);
    if (!text.ok()) return std::nullopt;
    return std::move(text).value();
  }

  bool shows(Json messages, Json tools = nullptr) const {
    const auto text = render(std::move(messages), std::move(tools));
    return text && text->find(kNeedle) != std::string::npos;
  }

 private:
  const ProbeRender& render_;
};

void probe_calls(const Probe& probe, const Json& user, ChatCapabilities& found) {
  const auto conversation = [&](Json arguments, Json content, const char* result) {
    Json call = message("assistant", std::move(content));
    call["tool_calls"] = Json::array({tool_call(std::move(arguments))});
    Json answer = message("tool", result);
    answer["tool_call_id"] = "call00001";
    answer["name"] = "lookup";
    return Json::array({user, std::move(call), std::move(answer)});
  };
  const Json object{{"word", kNeedle}};
  const Json text = "{\"word\": \"quernneedle\"}";
  const bool as_object = probe.shows(conversation(object, "", "x"));
  const auto rendered = probe.render(conversation(text, "", "x"));
  const bool as_text = rendered && rendered->find(kNeedle) != std::string::npos;
  // A string that is written as JSON again shows escaped quotes.
  const bool quoted = as_text && rendered->find("\\\"word\\\"") != std::string::npos;
  found.tool_calls = as_object || as_text;
  found.object_arguments = as_object && (!as_text || quoted);
  const Json& working = found.object_arguments ? object : text;
  found.null_content = found.tool_calls && probe.shows(conversation(working, nullptr, "x"));
  found.tool_results = probe.shows(conversation(Json{{"word", "x"}}, "", kNeedle)) ||
                       probe.shows(conversation("{\"word\": \"x\"}", "", kNeedle));
}

}  // namespace

ChatCapabilities probe_capabilities(const ProbeRender& render) {
  const Probe probe(render);
  ChatCapabilities found;
  found.string_content = probe.shows(Json::array({message("user", kNeedle)}));
  const auto parts = probe.render(Json::array({message("user", text_parts(kNeedle))}));
  // A template that prints the list as it is shows the word "type" beside the text.
  found.content_parts = parts && parts->find(kNeedle) != std::string::npos &&
                        parts->find("type") == std::string::npos;
  const bool only_parts = found.content_parts && !found.string_content;
  const Json user = message("user", only_parts ? text_parts("Hi") : Json("Hi"));
  found.system_role = probe.shows(
      Json::array({message("system", only_parts ? text_parts(kNeedle) : Json(kNeedle)), user}));
  const Json parameters{
      {"type", "object"},
      {"properties", Json{{"word", Json{{"type", "string"}, {"description", "a word"}}}}},
      {"required", Json::array({"word"})}};
  const Json tool{
      {"type", "function"},
      {"function", Json{{"name", "lookup"}, {"description", kNeedle}, {"parameters", parameters}}}};
  found.tools = probe.shows(Json::array({user}), Json::array({tool}));
  probe_calls(probe, user, found);
  const Json turns = Json::array({user});
  const auto with_prompt = probe.render(turns);
  found.generation_prompt = with_prompt && with_prompt != probe.render(turns, nullptr, false);
  Json thinking = message("assistant", "Hello");
  thinking["reasoning_content"] = kNeedle;
  found.reasoning_content = probe.shows(Json::array({user, thinking}));
  found.enable_thinking_switch =
      probe.render(turns, nullptr, true, Json{{"enable_thinking", true}}) !=
      probe.render(turns, nullptr, true, Json{{"enable_thinking", false}});
  return found;
}

}  // namespace quern::chat
