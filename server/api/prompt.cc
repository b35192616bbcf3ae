// See prompt.h.
#include "server/api/prompt.h"

#include <algorithm>

#include "models/chat/chat_format.h"
#include "server/api/ids.h"

namespace quern::api {
namespace {

using tokenizer::SpecialParsing;
using tokenizer::TokenId;

// Bytes of prompt per token of context that are still worth tokenising.
constexpr size_t kMaxBytesPerToken = 16;

MaybeError check_size(const ServedModel& model, size_t bytes, size_t contexts) {
  const auto context = static_cast<size_t>(std::max<int64_t>(model.engine->context_tokens(), 1));
  if (bytes / kMaxBytesPerToken / contexts <= context) return std::nullopt;
  ApiError error{400,
                 "The prompt has " + std::to_string(bytes) + " bytes, which is more than " +
                     std::to_string(context) +
                     " tokens of context can hold; shorten it or serve a longer context.",
                 "", "context_length_exceeded"};
  return error;
}

MaybeError add_bos(const ServedModel& model, std::string_view field, Tokens& tokens) {
  const tokenizer::SpecialTokens& special = model.tokenizer->special();
  const bool wanted = special.add_bos || tokens.empty();
  if (wanted && special.bos && (tokens.empty() || tokens.front() != *special.bos)) {
    tokens.insert(tokens.begin(), *special.bos);
  }
  if (!tokens.empty()) return std::nullopt;
  return field_error(field, "'" + std::string(field) +
                                "' is empty and this model has no token to begin a text with; give "
                                "it at least one character.");
}

MaybeError encode_into(const ServedModel& model, std::string_view text, SpecialParsing parsing,
                       Tokens& out) {
  auto tokens = model.tokenizer->encode(text, parsing);
  if (!tokens.ok()) return from_error(tokens.error());
  out.insert(out.end(), tokens->begin(), tokens->end());
  return std::nullopt;
}

std::string token_text(const ServedModel& model, std::optional<TokenId> id) {
  return id ? std::string(model.tokenizer->text(*id)) : std::string();
}

}  // namespace

MaybeError encode_raw(const ServedModel& model, std::string_view text, std::string_view field,
                      Tokens& out, size_t contexts) {
  if (MaybeError error = check_size(model, text.size(), contexts)) return error;
  if (!text.empty()) {
    if (MaybeError error = encode_into(model, text, SpecialParsing::kParse, out)) {
      error->param = std::string(field);
      return error;
    }
  }
  return add_bos(model, field, out);
}

MaybeError encode_segments(const ServedModel& model,
                           const std::vector<chat::PromptSegment>& segments, Tokens& out,
                           size_t contexts) {
  std::vector<tokenizer::TextPart> parts;
  size_t bytes = 0;
  for (const chat::PromptSegment& segment : segments) {
    bytes += segment.text.size();
    parts.push_back(
        {segment.text, segment.from_user ? SpecialParsing::kText : SpecialParsing::kParse});
  }
  if (MaybeError error = check_size(model, bytes, contexts)) return error;
  auto tokens = model.tokenizer->encode_parts(parts);
  if (!tokens.ok()) return from_error(tokens.error());
  out.insert(out.end(), tokens->begin(), tokens->end());
  return add_bos(model, "messages", out);
}

MaybeError render_messages(const ServedModel& model, const Json& messages, const Json& extra,
                           bool add_generation_prompt, std::vector<chat::PromptSegment>& out) {
  auto prepared = chat::prepare_messages(messages, model.chat_template->capabilities());
  if (!prepared.ok()) {
    ApiError error = from_error(prepared.error());
    error.param = "messages";
    return error;
  }
  chat::RenderInput input;
  input.messages = std::move(prepared).value();
  input.add_generation_prompt = add_generation_prompt;
  input.bos_token = token_text(model, model.tokenizer->special().bos);
  input.eos_token = token_text(model, model.tokenizer->special().eos);
  input.extra = extra;
  input.now_unix_s = unix_seconds();
  auto rendered = model.chat_template->render(input);
  if (!rendered.ok()) {
    ApiError error = from_error(
        rendered.error().with_context("The model's chat template refused these messages"));
    error.param = "messages";
    return error;
  }
  out = std::move(rendered).value();
  return std::nullopt;
}

}  // namespace quern::api
