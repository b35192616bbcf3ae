// The OpenAI endpoints: POST /v1/completions, POST /v1/chat/completions, GET /v1/models[/{id}].
#pragma once

#include <memory>

#include "server/api/catalogue.h"
#include "server/http/router.h"

namespace quern::api::openai {

// The same paths without "/v1" are served too, for clients configured with a bare base URL.
void add_routes(http::Router& router, const std::shared_ptr<const Catalogue>& catalogue);

void handle_completion(const Catalogue& catalogue, http::Exchange& exchange);
void handle_chat(const Catalogue& catalogue, http::Exchange& exchange);
void handle_models(const Catalogue& catalogue, http::Exchange& exchange);
void handle_model(const Catalogue& catalogue, http::Exchange& exchange);

}  // namespace quern::api::openai
