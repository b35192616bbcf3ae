// One line per endpoint.
#include "server/api/openai/routes.h"

namespace quern::api::openai {
namespace {

struct Endpoint {
  const char* method;
  const char* path;
  void (*handle)(const Catalogue&, http::Exchange&);
};

constexpr Endpoint kEndpoints[] = {
    {"POST", "/completions", handle_completion},
    {"POST", "/chat/completions", handle_chat},
    {"GET", "/models", handle_models},
    {"GET", "/models/*", handle_model},
};

}  // namespace

void add_routes(http::Router& router, const std::shared_ptr<const Catalogue>& catalogue) {
  for (const Endpoint& endpoint : kEndpoints) {
    for (const std::string prefix : {"/v1", ""}) {
      const auto handle = endpoint.handle;
      router.add({endpoint.method, prefix + endpoint.path,
                  [catalogue, handle](http::Exchange& exchange) { handle(*catalogue, exchange); }});
    }
  }
}

}  // namespace quern::api::openai
