// POST /v1/completions: raw prompts in any of the four forms.
#include <array>

#include "server/api/generation.h"
#include "server/api/openai/answer.h"
#include "server/api/openai/routes.h"
#include "server/api/prompt.h"

namespace quern::api::openai {
namespace {

constexpr size_t kMaxChoices = 128;

constexpr std::array kFields = {
    read_field("prompt", FieldType::kAny),
    ranged("max_tokens", FieldType::kInteger, -1, 2147483647.0),
    read_field("echo", FieldType::kBool),
    ranged("best_of", FieldType::kInteger, 1, 20),
    ranged("logprobs", FieldType::kInteger, 0, 20),
    refused("prompt_embeds"),
};

MaybeError wrong_prompt() {
  return field_error("prompt",
                     "'prompt' must be a string, an array of strings, an array of token ids or an "
                     "array of such arrays, and not an empty array.");
}

MaybeError read_tokens(const ServedModel& model, const Json& list, Tokens& out) {
  if (list.empty()) return wrong_prompt();
  for (const Json& item : list) {
    int64_t id = -1;
    if (!whole_number(item, id)) return wrong_prompt();
    if (id < 0 || id >= model.tokenizer->vocab_size()) {
      return field_error("prompt", "'prompt' holds token id " + std::to_string(id) +
                                       "; this model has ids from 0 to " +
                                       std::to_string(model.tokenizer->vocab_size() - 1) + ".");
    }
    out.push_back(static_cast<tokenizer::TokenId>(id));
  }
  return std::nullopt;
}

struct Prompt {
  std::string text;  // for echo
  Tokens tokens;
};

MaybeError read_prompt(const CommonRequest& common, const Json& value, Prompt& out) {
  const ServedModel& model = *common.model;
  if (value.is_string()) {
    out.text = value.get<std::string>();
    return encode_raw(model, out.text, "prompt", out.tokens, contexts_allowed(common.overflow));
  }
  if (!value.is_array()) return wrong_prompt();
  if (MaybeError error = read_tokens(model, value, out.tokens)) return error;
  auto text = model.tokenizer->decode(out.tokens);
  if (text.ok()) out.text = std::move(text).value();
  return std::nullopt;
}

MaybeError read_prompts(const CommonRequest& common, const Json& body, std::vector<Prompt>& out) {
  const Json* value = find_field(body, "prompt");
  if (value == nullptr) return field_error("prompt", "'prompt' is missing.");
  const bool several = value->is_array() && !value->empty() &&
                       (value->front().is_string() || value->front().is_array());
  if (!several) {
    out.emplace_back();
    return read_prompt(common, *value, out.back());
  }
  if (value->size() > kMaxChoices) {
    return field_error("prompt", "'prompt' must have at most " + std::to_string(kMaxChoices) +
                                     " entries; send several requests.");
  }
  for (const Json& item : *value) {
    if (item.is_string() != value->front().is_string()) return wrong_prompt();
    out.emplace_back();
    if (MaybeError error = read_prompt(common, item, out.back())) return error;
  }
  return std::nullopt;
}

MaybeError plan_completion(const Catalogue& catalogue, http::Exchange& exchange, AnswerPlan& plan) {
  const http::Request& request = exchange.request();
  Json body;
  if (MaybeError error = parse_body(request.body, body)) return error;
  if (MaybeError error = read_common(catalogue, exchange, body, kFields, plan.common)) return error;
  plan.fingerprint = catalogue.fingerprint();
  std::vector<Prompt> prompts;
  if (MaybeError error = read_prompts(plan.common, body, prompts)) return error;
  plan.best_of = read_integer(body, "best_of", plan.common.n);
  if (plan.best_of < plan.common.n) {
    return field_error("best_of", "'best_of' must be at least 'n'.");
  }
  if (plan.best_of > plan.common.n && plan.common.stream) {
    return field_error("best_of", "'best_of' above 'n' cannot be streamed.");
  }
  if (prompts.size() * static_cast<size_t>(plan.best_of) > kMaxChoices) {
    return field_error("n", "'n' or 'best_of' times the number of prompts must be at most " +
                                std::to_string(kMaxChoices) + ".");
  }
  const bool echo = read_bool(body, "echo", false);
  plan.logprobs = find_field(body, "logprobs") != nullptr;
  plan.top_logprobs = read_integer(body, "logprobs", 0);
  engine::Request prototype;
  prototype.max_tokens = read_integer(body, "max_tokens", 16);
  if (plan.logprobs) prototype.top_logprobs = static_cast<int32_t>(plan.top_logprobs);
  prototype.prompt_logprobs = echo && plan.logprobs;
  for (Prompt& prompt : prompts) {
    const size_t n_tokens = prompt.tokens.size();
    truncate_tokens(*plan.common.model, plan.common.overflow, prototype.max_tokens, n_tokens,
                    prompt.tokens, plan.common.dropped);
    if (echo && prompt.tokens.size() < n_tokens) {
      return field_error("echo",
                         "'echo' is not possible when 'context_overflow' drops the beginning of "
                         "the prompt; leave one of them out.");
    }
    prototype.prompt = prompt.tokens;
    add_choices(plan, prototype, request.id);
    for (int64_t i = 0; i < plan.best_of; ++i) {
      if (echo) plan.echo.push_back(prompt.text);
      if (prototype.prompt_logprobs) plan.echo_tokens.push_back(prompt.tokens);
    }
  }
  return std::nullopt;
}

}  // namespace

void handle_completion(const Catalogue& catalogue, http::Exchange& exchange) {
  AnswerPlan plan;
  if (MaybeError error = plan_completion(catalogue, exchange, plan)) {
    return exchange.send(error_response(*error));
  }
  answer(exchange, std::move(plan));
}

}  // namespace quern::api::openai
