// How long a model is kept, as clients and options write it.
#pragma once

#include <optional>
#include <string_view>

#include "config/base/json.h"
#include "engine/manager/resident.h"

namespace quern::api {

// A Go duration: "5m", "1h30m", "-1s", "0". Negative, or beyond a century: for ever.
std::optional<engine::KeepAlive> parse_duration(std::string_view text);
// The same, or a number of seconds without a unit ("300", "-1").
std::optional<engine::KeepAlive> parse_keep_alive_option(std::string_view text);
// Ollama's field: a number of seconds, with fraction, or a Go duration.
std::optional<engine::KeepAlive> parse_keep_alive(const Json& value);

}  // namespace quern::api
