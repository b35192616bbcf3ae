// Finds out what a template can show by rendering small conversations with it.
#pragma once

#include <functional>

#include "models/chat/chat_template.h"

namespace quern::chat {

// Renders within a budget that suits a handful of short messages.
using ProbeRender = std::function<Result<std::string>(const RenderInput&)>;

ChatCapabilities probe_capabilities(const ProbeRender& render);

}  // namespace quern::chat
