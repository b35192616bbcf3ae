// POST /api/generate: one prompt, through the template unless raw.
#include <array>

#include "server/api/generation.h"
#include "server/api/ollama/answer.h"
#include "server/api/ollama/routes.h"
#include "server/api/overflow.h"
#include "server/api/prompt.h"

namespace quern::api::ollama {
namespace {

constexpr std::array kFields = {
    read_field("prompt", FieldType::kString),
    read_field("system", FieldType::kString),
    read_field("raw", FieldType::kBool),
    read_field("context", FieldType::kArray),
    refused("suffix"),
    refused("images", 0, "this model reads no images"),
    refused("template", 0, "the model's own template is used, or none with 'raw'"),
};

MaybeError read_context(const Json& body, const ServedModel& model, Tokens& out) {
  const Json* context = find_field(body, "context");
  if (context == nullptr) return std::nullopt;
  for (const Json& item : *context) {
    int64_t id = -1;
    if (!whole_number(item, id) || id < 0 || id >= model.tokenizer->vocab_size()) {
      return field_error("context",
                         "'context' must hold token ids of this model, as returned by "
                         "an earlier answer.");
    }
    out.push_back(static_cast<tokenizer::TokenId>(id));
  }
  return std::nullopt;
}

MaybeError encode_templated(const ServedModel& model, const std::string& prompt,
                            const std::string& system, Tokens& out) {
  Json messages = Json::array();
  const bool own_role = model.chat_template->capabilities().system_role;
  if (!system.empty() && own_role) messages.push_back({{"role", "system"}, {"content", system}});
  const std::string text = system.empty() || own_role ? prompt : system + "\n\n" + prompt;
  messages.push_back({{"role", "user"}, {"content", text}});
  std::vector<chat::PromptSegment> segments;
  if (MaybeError error = render_messages(model, messages, Json::object(), true, segments)) {
    return error;
  }
  return encode_segments(model, segments, out);
}

// Tokens of the prompt: what `context` brings, then the new text without a second BOS.
MaybeError encode_prompt(const Json& body, const ServedModel& model, bool raw,
                         const CommonRequest& common, Tokens& out, Truncation& dropped) {
  const std::string prompt = read_string(body, "prompt");
  const std::string system = read_string(body, "system");
  if (raw && (!system.empty() || find_field(body, "context") != nullptr)) {
    return field_error("raw", "raw mode does not support template, system, or context");
  }
  Tokens before;
  if (MaybeError error = read_context(body, model, before)) return error;
  Tokens tokens;
  const size_t contexts = contexts_allowed(common.overflow);
  const bool plain = raw || !model.has_own_template;
  const std::string joined = system.empty() ? prompt : system + "\n\n" + prompt;
  MaybeError error = plain ? encode_raw(model, joined, "prompt", tokens, contexts)
                           : encode_templated(model, prompt, system, tokens);
  if (error) return error;
  const auto bos = model.tokenizer->special().bos;
  const bool drop_bos = !before.empty() && bos && !tokens.empty() && tokens.front() == *bos;
  const size_t n_before = before.size();
  out = std::move(before);
  out.insert(out.end(), tokens.begin() + (drop_bos ? 1 : 0), tokens.end());
  // A message in its template stays whole; only what `context` brought can go.
  truncate_tokens(model, common.overflow, common.max_tokens, plain ? out.size() : n_before, out,
                  dropped);
  return std::nullopt;
}

MaybeError plan_generate(const Catalogue& catalogue, http::Exchange& exchange, AnswerPlan& plan,
                         bool& load_only) {
  const http::Request& request = exchange.request();
  Json body;
  if (MaybeError error = parse_body(request.body, body)) return error;
  if (MaybeError error = read_common(catalogue, request, body, kFields, plan.common)) return error;
  const bool raw = read_bool(body, "raw", false);
  // An empty prompt loads the model; with raw it is a prompt: the beginning of a text.
  const bool has_prompt = find_field(body, "prompt") != nullptr;
  load_only = !has_prompt || (!raw && read_string(body, "prompt").empty());
  if (load_only) return std::nullopt;
  if (MaybeError error = take_model(catalogue, exchange, body, plan.common)) return error;
  plan.with_context = !raw;
  plan.request.id = request.id;
  plan.request.share = plan.common.origin.share;
  plan.request.deadline = plan.common.origin.deadline;
  plan.request.adapters = plan.common.adapters;
  plan.request.sampling = plan.common.sampling;
  plan.request.stop = plan.common.stop;
  plan.request.constraint = plan.common.constraint;
  plan.request.max_tokens = plan.common.max_tokens;
  plan.request.top_logprobs = plan.common.top_logprobs;
  return encode_prompt(body, *plan.common.model, raw, plan.common, plan.request.prompt,
                       plan.dropped);
}

}  // namespace

void handle_generate(const Catalogue& catalogue, http::Exchange& exchange) {
  AnswerPlan plan;
  bool load_only = false;
  if (MaybeError error = plan_generate(catalogue, exchange, plan, load_only)) {
    return exchange.send(error_response(*error));
  }
  if (load_only) return answer_empty(catalogue, exchange, std::move(plan.common), false);
  answer(exchange, std::move(plan));
}

}  // namespace quern::api::ollama
