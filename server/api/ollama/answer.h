// Sends the answer of /api/generate or /api/chat: NDJSON updates, or one object.
#pragma once

#include <string>
#include <vector>

#include "engine/types/request.h"
#include "server/api/ollama/wire.h"
#include "server/api/overflow.h"
#include "server/http/message.h"

namespace quern::api::ollama {

struct AnswerPlan {
  CommonRequest common;
  bool chat = false;
  bool with_context = false;  // /api/generate without raw
  engine::Request request;
  Truncation dropped;  // from its prompt
};

void answer(http::Exchange& exchange, AnswerPlan plan);
// Serves a request without prompt or messages, which only loads the model or, with a keep_alive of
// 0, unloads it as soon as nobody uses it; one object, also when streaming is on.
void answer_empty(const Catalogue& catalogue, http::Exchange& exchange, CommonRequest common,
                  bool chat);

}  // namespace quern::api::ollama
