// GET /v1/models and /v1/models/{id}.
#include "server/api/openai/routes.h"
#include "server/api/openai/wire.h"

namespace quern::api::openai {
namespace {

Json model_object(const ServedModel& model) {
  Json out;
  out["id"] = model.id;
  out["object"] = "model";
  out["created"] = model.modified_unix_s;
  out["owned_by"] = "quern";
  out["max_model_len"] = model.engine->context_tokens();
  out["meta"] = {{"n_vocab", model.facts.n_vocab},
                 {"n_ctx_train", model.facts.context_length},
                 {"n_embd", model.facts.n_embedding},
                 {"n_params", model.facts.n_parameters},
                 {"size", model.facts.file_bytes}};
  return out;
}

}  // namespace

void handle_models(const Catalogue& catalogue, http::Exchange& exchange) {
  Json out;
  out["object"] = "list";
  out["data"] = Json::array();
  for (const ServedModel& model : catalogue.models) out["data"].push_back(model_object(model));
  exchange.send({200, "application/json", dump_json(out), {}});
}

void handle_model(const Catalogue& catalogue, http::Exchange& exchange) {
  const std::string& name = exchange.request().path_rest;
  const ServedModel* model = catalogue.find(name);
  if (model == nullptr) return exchange.send(error_response(unknown_model(name)));
  exchange.send({200, "application/json", dump_json(model_object(*model)), {}});
}

}  // namespace quern::api::openai
