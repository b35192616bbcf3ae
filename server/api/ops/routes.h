// Endpoints for operators: GET /health and GET /metrics. They wait for nothing and need no key for
// /health.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "server/api/catalogue.h"
#include "server/http/http_server.h"
#include "server/http/router.h"

namespace quern::api::ops {

struct OpsState {
  std::shared_ptr<const Catalogue> catalogue;
  std::shared_ptr<std::atomic<bool>> draining;
  std::function<http::ServerCounters()> counters;
};

void add_routes(http::Router& router, const OpsState& state);

}  // namespace quern::api::ops
