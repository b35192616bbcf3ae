// GET /v1/models and /v1/models/{id}: what is on offer, loaded or not.
#include "server/api/openai/routes.h"
#include "server/api/openai/wire.h"

namespace quern::api::openai {
namespace {

Json model_object(const Catalogue& catalogue, size_t index) {
  const ListedModel& model = catalogue.models()[index];
  Json out;
  out["id"] = model.id;
  out["object"] = "model";
  out["created"] = model.modified_unix_s;
  out["owned_by"] = "quern";
  // How long a context may be is decided when it is loaded.
  if (const ModelLease lease = catalogue.peek(index)) {
    out["max_model_len"] = lease.model().engine->context_tokens();
  }
  out["meta"] = {{"n_vocab", model.facts.n_vocab},    {"n_ctx_train", model.facts.context_length},
                 {"n_embd", model.facts.n_embedding}, {"n_params", model.facts.n_parameters},
                 {"size", model.facts.file_bytes},    {"loaded", catalogue.state(index).loaded}};
  return out;
}

}  // namespace

void handle_models(const Catalogue& catalogue, http::Exchange& exchange) {
  Json out;
  out["object"] = "list";
  out["data"] = Json::array();
  for (size_t i = 0; i < catalogue.models().size(); ++i) {
    out["data"].push_back(model_object(catalogue, i));
  }
  exchange.send({200, "application/json", dump_json(out), {}});
}

void handle_model(const Catalogue& catalogue, http::Exchange& exchange) {
  const std::string& name = exchange.request().path_rest;
  const auto index = catalogue.find(name);
  if (!index) return exchange.send(error_response(unknown_model(name)));
  exchange.send({200, "application/json", dump_json(model_object(catalogue, *index)), {}});
}

}  // namespace quern::api::openai
