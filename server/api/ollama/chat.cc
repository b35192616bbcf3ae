// POST /api/chat: messages through the model's template.
#include <array>

#include "server/api/generation.h"
#include "server/api/ollama/answer.h"
#include "server/api/ollama/routes.h"
#include "server/api/overflow.h"

namespace quern::api::ollama {
namespace {

constexpr std::array kFields = {
    read_field("messages", FieldType::kArray),
    refused("tools", 0, "this version cannot read tool calls out of the model's answer"),
};

MaybeError plan_chat(const Catalogue& catalogue, http::Exchange& exchange, AnswerPlan& plan,
                     bool& load_only) {
  const http::Request& request = exchange.request();
  Json body;
  if (MaybeError error = parse_body(request.body, body)) return error;
  if (MaybeError error = read_common(catalogue, request, body, kFields, plan.common)) return error;
  const Json* messages = find_field(body, "messages");
  load_only = messages == nullptr || messages->empty();
  if (load_only) return std::nullopt;
  if (MaybeError error = take_model(catalogue, exchange, body, plan.common)) return error;
  const ServedModel& model = *plan.common.model;
  plan.chat = true;
  plan.request.id = request.id;
  plan.request.share = plan.common.origin.share;
  plan.request.deadline = plan.common.origin.deadline;
  plan.request.adapters = plan.common.adapters;
  plan.request.sampling = plan.common.sampling;
  plan.request.stop = plan.common.stop;
  plan.request.constraint = plan.common.constraint;
  plan.request.max_tokens = plan.common.max_tokens;
  plan.request.top_logprobs = plan.common.top_logprobs;
  const Json none = Json::object();
  return encode_chat(model, {*messages, none}, plan.common.overflow, plan.request.max_tokens,
                     plan.request.prompt, plan.dropped);
}

}  // namespace

void handle_chat(const Catalogue& catalogue, http::Exchange& exchange) {
  AnswerPlan plan;
  bool load_only = false;
  if (MaybeError error = plan_chat(catalogue, exchange, plan, load_only)) {
    return exchange.send(error_response(*error));
  }
  if (load_only) return answer_empty(catalogue, exchange, std::move(plan.common), true);
  answer(exchange, std::move(plan));
}

}  // namespace quern::api::ollama
