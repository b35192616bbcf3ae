// POST /v1/chat/completions: messages through the model's template.
#include <algorithm>
#include <array>

#include "server/api/generation.h"
#include "server/api/openai/answer.h"
#include "server/api/openai/routes.h"

namespace quern::api::openai {
namespace {

constexpr std::array kFields = {
    read_field("messages", FieldType::kArray),
    ranged("max_tokens", FieldType::kInteger, -1, 2147483647.0),
    ranged("max_completion_tokens", FieldType::kInteger, -1, 2147483647.0),
    read_field("logprobs", FieldType::kBool),
    ranged("top_logprobs", FieldType::kInteger, 0, 20),
    read_field("chat_template_kwargs", FieldType::kObject),
    read_field("add_generation_prompt", FieldType::kBool),
    read_field("tools", FieldType::kArray),
    read_field("tool_choice", FieldType::kAny),
    read_field("modalities", FieldType::kArray),
    ignored("parallel_tool_calls"),
    reported("reasoning_effort"),
    reported("verbosity"),
    refused("echo"),
    refused("functions", 0, "function calling is not there yet"),
    refused("audio"),
    refused("prediction"),
    refused("web_search_options"),
    refused("continue_final_message"),
    refused("chat_template", 0, "the model's own template is used"),
    refused("documents"),
};

MaybeError check_formats(const Json& body) {
  if (const Json* modalities = find_field(body, "modalities")) {
    const bool text = std::all_of(modalities->begin(), modalities->end(),
                                  [](const Json& item) { return item == "text"; });
    if (!text) return field_error("modalities", "'modalities' can only be [\"text\"].");
  }
  const Json* tools = find_field(body, "tools");
  const Json* choice = find_field(body, "tool_choice");
  const bool none = choice != nullptr && choice->is_string() && *choice == "none";
  if (tools != nullptr && !tools->empty() && !none) {
    return field_error("tools",
                       "'tools' is not supported: this version cannot read tool calls out of the "
                       "model's answer; leave it out or set 'tool_choice' to \"none\".");
  }
  const bool automatic = choice != nullptr && choice->is_string() && *choice == "auto";
  if (choice != nullptr && !none && !automatic) {
    return field_error("tool_choice", "'tool_choice' can only be \"none\" or \"auto\" here.");
  }
  return std::nullopt;
}

MaybeError plan_chat(const Catalogue& catalogue, http::Exchange& exchange, AnswerPlan& plan) {
  const http::Request& request = exchange.request();
  Json body;
  if (MaybeError error = parse_body(request.body, body)) return error;
  if (MaybeError error = read_common(catalogue, exchange, body, kFields, plan.common)) return error;
  if (MaybeError error = check_formats(body)) return error;
  plan.chat = true;
  plan.fingerprint = catalogue.fingerprint();
  const ServedModel& model = *plan.common.model;
  const Json* messages = find_field(body, "messages");
  if (messages == nullptr) return field_error("messages", "'messages' is missing.");
  engine::Request prototype;
  prototype.max_tokens =
      read_integer(body, "max_completion_tokens", read_integer(body, "max_tokens", -1));
  const Json* extra = find_field(body, "chat_template_kwargs");
  const Json none = Json::object();
  const ChatPrompt chat{*messages, extra == nullptr ? none : *extra,
                        read_bool(body, "add_generation_prompt", true)};
  if (MaybeError error = encode_chat(model, chat, plan.common.overflow, prototype.max_tokens,
                                     prototype.prompt, plan.common.dropped)) {
    return error;
  }
  plan.logprobs = read_bool(body, "logprobs", false);
  plan.top_logprobs = read_integer(body, "top_logprobs", 0);
  if (!plan.logprobs && plan.top_logprobs > 0) {
    return field_error("top_logprobs", "'top_logprobs' needs 'logprobs': true.");
  }
  if (plan.logprobs) prototype.top_logprobs = static_cast<int32_t>(plan.top_logprobs);
  add_choices(plan, prototype, request.id);
  return std::nullopt;
}

}  // namespace

void handle_chat(const Catalogue& catalogue, http::Exchange& exchange) {
  AnswerPlan plan;
  if (MaybeError error = plan_chat(catalogue, exchange, plan)) {
    return exchange.send(error_response(*error));
  }
  answer(exchange, std::move(plan));
}

}  // namespace quern::api::openai
