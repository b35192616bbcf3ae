// The Ollama-style endpoints under /api, and the liveness text at "/".
#pragma once

#include <memory>

#include "server/api/catalogue.h"
#include "server/http/router.h"

namespace quern::api::ollama {

void add_routes(http::Router& router, const std::shared_ptr<const Catalogue>& catalogue);

void handle_generate(const Catalogue& catalogue, http::Exchange& exchange);
void handle_chat(const Catalogue& catalogue, http::Exchange& exchange);
void handle_tags(const Catalogue& catalogue, http::Exchange& exchange);
void handle_show(const Catalogue& catalogue, http::Exchange& exchange);
void handle_ps(const Catalogue& catalogue, http::Exchange& exchange);
void handle_version(const Catalogue& catalogue, http::Exchange& exchange);
void handle_root(const Catalogue& catalogue, http::Exchange& exchange);

}  // namespace quern::api::ollama
