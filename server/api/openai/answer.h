// Sends the answer of a generating OpenAI endpoint: one object, or a stream of chunks.
//
// Streaming waits for the first event before it commits to status 200, so that an early failure is
// a plain HTTP error; a later one is an error event without [DONE].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/types/request.h"
#include "server/api/openai/wire.h"
#include "server/http/message.h"

namespace quern::api::openai {

struct AnswerPlan {
  CommonRequest common;
  bool chat = false;
  std::string fingerprint;
  // best_of per prompt, in the order of their indices; the best n of them become choices.
  std::vector<engine::Request> requests;
  int64_t best_of = 1;            // at least common.n
  std::vector<std::string> echo;  // per choice: text that goes before, or empty
  std::vector<std::vector<engine::TokenId>> echo_tokens;  // for its logprobs; may be empty
  bool logprobs = false;
  int64_t top_logprobs = 0;
};

void answer(http::Exchange& exchange, AnswerPlan plan);

// Requests for best_of answers to one prompt; answer i draws with seed + i. The context may shift
// where the common fields say so.
void add_choices(AnswerPlan& plan, const engine::Request& prototype, const std::string& request_id);

}  // namespace quern::api::openai
