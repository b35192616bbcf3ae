// From the messages of a request to what a template expects, and templates for models without one.
//
// Leaves field validation (roles, types, sizes) to the front doors and parsing of the model's
// output to them too; it only reshapes valid messages.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/json.h"
#include "config/base/result.h"
#include "models/chat/chat_template.h"

namespace quern::chat {

// Source of a template that is built in, or nothing if the name is unknown. "chatml" is the default
// for tuned models without a template; "plain" joins message contents with newlines, for base
// models.
std::optional<std::string_view> builtin_template(std::string_view name);

// The names that builtin_template knows, in a fixed order.
std::vector<std::string_view> builtin_template_names();

// Rewrites OpenAI-shaped messages for a template: text parts are joined to a string where the
// template cannot show parts, JSON-string arguments become objects where it wants objects, null
// content becomes "" where null fails, `reasoning` and `thinking` are copied to
// `reasoning_content` and back so that each spelling works. kInvalidInput for a part that is not
// text, or arguments that are not JSON, naming the message.
Result<Json> prepare_messages(const Json& messages, const ChatCapabilities& capabilities);

}  // namespace quern::chat
