// See routes.h.
#include "server/api/ops/routes.h"

#include "server/api/ops/metrics.h"

namespace quern::api::ops {

void add_routes(http::Router& router, const OpsState& state) {
  const auto health = [state](http::Exchange& exchange) {
    if (state.draining->load()) {
      exchange.send({503, "application/json", R"({"status":"draining"})", {{"retry-after", "1"}}});
    } else {
      exchange.send({200, "application/json", R"({"status":"ok"})", {}});
    }
  };
  for (const char* path : {"/health", "/v1/health"}) {
    router.add({"GET", path, health, /*needs_key=*/false, /*quick=*/true});
  }
  router.add({"GET", "/metrics",
              [state](http::Exchange& exchange) {
                exchange.send({200,
                               "text/plain; version=0.0.4; charset=utf-8",
                               metrics_text(*state.catalogue, state.counters()),
                               {}});
              },
              /*needs_key=*/true, /*quick=*/true});
}

}  // namespace quern::api::ops
