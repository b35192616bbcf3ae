// One line per endpoint.
#include "server/api/ollama/routes.h"

namespace quern::api::ollama {
namespace {

struct Endpoint {
  const char* method;
  const char* path;
  void (*handle)(const Catalogue&, http::Exchange&);
  bool needs_key;
};

constexpr Endpoint kEndpoints[] = {
    {"POST", "/api/generate", handle_generate, true},
    {"POST", "/api/chat", handle_chat, true},
    {"GET", "/api/tags", handle_tags, true},
    {"POST", "/api/show", handle_show, true},
    {"GET", "/api/ps", handle_ps, true},
    {"GET", "/api/version", handle_version, true},
    {"GET", "/", handle_root, false},
};

}  // namespace

void add_routes(http::Router& router, const std::shared_ptr<const Catalogue>& catalogue) {
  for (const Endpoint& endpoint : kEndpoints) {
    const auto handle = endpoint.handle;
    router.add({endpoint.method, endpoint.path,
                [catalogue, handle](http::Exchange& exchange) { handle(*catalogue, exchange); },
                endpoint.needs_key});
  }
}

}  // namespace quern::api::ollama
