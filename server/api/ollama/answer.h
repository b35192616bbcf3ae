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
// The reply to a request without prompt or messages, which only loads the model; one object, also
// when streaming is on.
void answer_loaded(http::Exchange& exchange, const CommonRequest& common, bool chat);

}  // namespace quern::api::ollama
