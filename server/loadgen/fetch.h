// One small answer of a server, waited for: which models it has.
#pragma once

#include <string>

#include "config/base/result.h"
#include "server/http/dial.h"
#include "server/loadgen/target.h"

namespace quern::loadgen {

// Lines of a request's head that name the server and the key; `key` may be empty.
std::string common_headers(const Target& target, const std::string& key);

// The first model that the server lists. Error: it cannot be reached or lists none.
Result<std::string> first_model(const Target& target, const http::Destination& destination,
                                const std::string& key);

}  // namespace quern::loadgen
