// Request fields that constrain the answer's text: grammars and JSON schemas of both dialects.
//
// Compiles on the calling thread, within the store's budget; stops when `gone` says that nobody
// waits any more. Fails closed: a request whose grammar cannot be honoured is refused.
#pragma once

#include <functional>
#include <memory>

#include "config/base/json.h"
#include "engine/grammar/grammar_store.h"
#include "server/api/api_error.h"
#include "server/api/served_model.h"

namespace quern::api {

using ConstraintPointer = std::shared_ptr<const grammar::Constraint>;
using ClientGone = std::function<bool()>;

// OpenAI: response_format {"type": "text" | "json_object" | "json_schema"}; of llama.cpp's
// extensions `grammar` (GBNF), `json_schema`, and "schema" inside response_format. At most one of
// them. `out` stays null where the text is free.
MaybeError read_openai_constraint(const Json& body, const ServedModel& model,
                                  const ClientGone& gone, ConstraintPointer& out);

// Ollama: format "json" or a schema; "" and null leave the text free.
MaybeError read_ollama_constraint(const Json& body, const ServedModel& model,
                                  const ClientGone& gone, ConstraintPointer& out);

}  // namespace quern::api
