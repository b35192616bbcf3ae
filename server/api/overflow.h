// What happens when a prompt or an answer outgrows the context, and how the response says so.
//
// Nothing is dropped unless the request or the server's option asks for it; then the header
// x-quern-context and the field "context_overflow" of the answer say how much. A prompt is only
// touched when it would be refused otherwise.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/base/json.h"
#include "engine/types/request.h"
#include "server/api/api_error.h"
#include "server/api/overflow_policy.h"
#include "server/api/prompt.h"
#include "server/api/served_model.h"

namespace quern::api {

// What was dropped from the prompts of a request.
struct Truncation {
  int64_t messages = 0;
  int64_t tokens = 0;
};

// A conversation on its way to a prompt.
struct ChatPrompt {
  const Json& messages;  // as the client sent them
  const Json& extra;     // further template variables
  bool add_generation_prompt = true;
};

// Checks and renders the messages and makes tokens of them. With policy.truncate, a prompt that
// does not fit loses its oldest turns: whole messages, from one user message to the next; system
// messages and everything from the last user message on stay. What is left makes room for
// `max_tokens` of answer (at most half of the context; a quarter where there is no limit).
MaybeError encode_chat(const ServedModel& model, const ChatPrompt& chat,
                       const OverflowPolicy& policy, int64_t max_tokens, Tokens& out,
                       Truncation& dropped);

// The same for a prompt without messages: tokens go from the front, behind BOS and policy.n_keep
// and before index `end`. Without policy.truncate, or when it fits, it stays as it is.
void truncate_tokens(const ServedModel& model, const OverflowPolicy& policy, int64_t max_tokens,
                     size_t end, Tokens& tokens, Truncation& dropped);

// How many contexts long a prompt may be under this policy; a longer one costs more to cut than it
// is worth and is refused.
size_t contexts_allowed(const OverflowPolicy& policy);

// Notes in the request, whose prompt is there, whether the context may shift.
void set_shift(const ServedModel& model, const OverflowPolicy& policy, engine::Request& request);

// "truncated; dropped_messages=3; dropped_tokens=512, shifted; times=1; dropped_tokens=200", or
// empty when nothing was dropped.
std::string overflow_header(const Truncation& dropped, const engine::Usage& usage);
// {"truncated": {...}, "shifted": {...}}, or null.
Json overflow_object(const Truncation& dropped, const engine::Usage& usage);

}  // namespace quern::api
