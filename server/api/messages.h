// Validation of chat messages: roles, types, sizes. Errors carry paths ("messages[2].content").
#pragma once

#include "config/base/json.h"
#include "server/api/api_error.h"
#include "server/api/served_model.h"

namespace quern::api {

inline constexpr size_t kMaxMessages = 4096;

// Copies messages whose form this server and the model's template can honour; anything else
// (images, audio, unknown roles, tool results without a template for them) is an error. A system
// message for a template without that role is put before the next user message.
MaybeError check_messages(const Json& messages, const ServedModel& model, Json& out);

}  // namespace quern::api
