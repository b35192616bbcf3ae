// See prompt.h. Tokenising a template: the whole text in one piece where that is safe, since
// borders of segments are not borders of tokens; otherwise split at the template's own control
// tokens.
#include "server/api/prompt.h"

#include <algorithm>

#include "models/chat/chat_format.h"
#include "models/tokenizer/steering.h"
#include "server/api/ids.h"

namespace quern::api {
namespace {

using tokenizer::SpecialParsing;
using tokenizer::TokenId;
using tokenizer::TokenKind;

// Bytes of prompt per token of context that are still worth tokenising.
constexpr size_t kMaxBytesPerToken = 16;

MaybeError check_size(const ServedModel& model, size_t bytes) {
  const auto context = static_cast<size_t>(std::max<int64_t>(model.engine->context_tokens(), 1));
  if (bytes / kMaxBytesPerToken <= context) return std::nullopt;
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

bool steers(const tokenizer::Tokenizer& tokenizer, TokenId id) {
  if (tokenizer.kind(id) == TokenKind::kControl) return true;
  return tokenizer.kind(id) == TokenKind::kUserDefined &&
         (tokenizer::is_end_name(tokenizer.text(id)) ||
          tokenizer::is_steering_name(tokenizer.text(id)));
}

int64_t count_steering(const tokenizer::Tokenizer& tokenizer, const Tokens& tokens) {
  return std::count_if(tokens.begin(), tokens.end(),
                       [&](TokenId id) { return steers(tokenizer, id); });
}

// Splits the template's text at its control tokens; text between two of them is joined with the
// user's text around it and read without special parsing.
MaybeError encode_split(const ServedModel& model, const std::vector<chat::PromptSegment>& segments,
                        Tokens& out) {
  const tokenizer::Tokenizer& tokenizer = *model.tokenizer;
  std::string pending;
  for (const chat::PromptSegment& segment : segments) {
    if (segment.from_user) {
      pending += segment.text;
      continue;
    }
    Tokens alone;
    if (MaybeError error = encode_into(model, segment.text, SpecialParsing::kParse, alone)) {
      return error;
    }
    size_t at = 0;
    for (const TokenId id : alone) {
      if (!steers(tokenizer, id)) continue;
      const size_t found = segment.text.find(tokenizer.text(id), at);
      if (found == std::string::npos) continue;
      pending.append(segment.text, at, found - at);
      if (!pending.empty()) {
        if (MaybeError error = encode_into(model, pending, SpecialParsing::kText, out))
          return error;
        pending.clear();
      }
      out.push_back(id);
      at = found + tokenizer.text(id).size();
    }
    pending.append(segment.text, at);
  }
  return pending.empty() ? std::nullopt : encode_into(model, pending, SpecialParsing::kText, out);
}

std::string token_text(const ServedModel& model, std::optional<TokenId> id) {
  return id ? std::string(model.tokenizer->text(*id)) : std::string();
}

}  // namespace

MaybeError encode_raw(const ServedModel& model, std::string_view text, std::string_view field,
                      Tokens& out) {
  if (MaybeError error = check_size(model, text.size())) return error;
  if (!text.empty()) {
    if (MaybeError error = encode_into(model, text, SpecialParsing::kParse, out)) {
      error->param = std::string(field);
      return error;
    }
  }
  return add_bos(model, field, out);
}

MaybeError encode_segments(const ServedModel& model,
                           const std::vector<chat::PromptSegment>& segments, Tokens& out) {
  std::string whole;
  int64_t from_template = 0;
  for (const chat::PromptSegment& segment : segments) {
    whole += segment.text;
    if (MaybeError error = check_size(model, whole.size())) return error;
    if (segment.from_user) continue;
    Tokens alone;
    if (MaybeError error = encode_into(model, segment.text, SpecialParsing::kParse, alone)) {
      return error;
    }
    from_template += count_steering(*model.tokenizer, alone);
  }
  if (!whole.empty()) {
    if (MaybeError error = encode_into(model, whole, SpecialParsing::kParse, out)) return error;
    // More control tokens than the template wrote: a message holds the literal of one.
    if (count_steering(*model.tokenizer, out) != from_template) {
      out.clear();
      if (MaybeError error = encode_split(model, segments, out)) return error;
    }
  }
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
