// GET /metrics: what the engines, the models and the HTTP server count, as Prometheus text.
//
// A metric is one line of a table in metrics.cc. Names: quern_, base units (seconds, bytes), _total
// for counters; what vLLM exports under vllm: is called the same behind the prefix.
#pragma once

#include <string>

#include "server/api/catalogue.h"
#include "server/http/http_server.h"

namespace quern::api::ops {

std::string metrics_text(const Catalogue& catalogue, const http::ServerCounters& counters);

}  // namespace quern::api::ops
