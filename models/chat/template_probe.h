// Finds out what a template can show by rendering small conversations with it.
#pragma once

#include "models/chat/chat_template.h"

namespace quern::chat {

ChatCapabilities probe_capabilities(const ChatTemplate& chat_template);

}  // namespace quern::chat
