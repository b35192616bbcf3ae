// From request text to prompt tokens: BOS exactly once, and no control token out of a message.
#pragma once

#include <string_view>
#include <vector>

#include "config/base/json.h"
#include "models/chat/chat_template.h"
#include "models/tokenizer/tokenizer.h"
#include "server/api/api_error.h"
#include "server/api/served_model.h"

namespace quern::api {

using Tokens = std::vector<tokenizer::TokenId>;

// Tokens of a raw prompt. Control tokens written in it are recognised: whoever sends a raw prompt
// writes the template himself. An empty one is BOS alone. `field` names it in errors. A text that
// cannot fit `contexts` times the context is refused before it is encoded; here and below.
MaybeError encode_raw(const ServedModel& model, std::string_view text, std::string_view field,
                      Tokens& out, size_t contexts = 1);

// Tokens of a rendered template. Literals of control tokens inside text that came from the request
// stay text.
MaybeError encode_segments(const ServedModel& model,
                           const std::vector<chat::PromptSegment>& segments, Tokens& out,
                           size_t contexts = 1);

// Checks OpenAI- or Ollama-shaped messages ("messages[i]...") and renders them with the model's
// template. `extra`: further template variables.
MaybeError render_messages(const ServedModel& model, const Json& messages, const Json& extra,
                           bool add_generation_prompt, std::vector<chat::PromptSegment>& out);

}  // namespace quern::api
