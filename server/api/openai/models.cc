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

// A model that is another one with an adapter.
Json adapter_object(const Catalogue& catalogue, const Catalogue::Found& found) {
  const ListedModel& model = catalogue.models()[found.index];
  const ListedAdapter& adapter = model.adapters[*found.adapter];
  Json out = model_object(catalogue, found.index);
  out["id"] = model.adapter_id(adapter);
  out["created"] = adapter.modified_unix_s;
  out["parent"] = model.id;
  out["meta"]["lora_id"] = *found.adapter;
  out["meta"]["lora_scale"] = adapter.scale;
  out["meta"]["lora_size"] = adapter.file_bytes;
  return out;
}

}  // namespace

void handle_models(const Catalogue& catalogue, http::Exchange& exchange) {
  Json out;
  out["object"] = "list";
  out["data"] = Json::array();
  for (size_t i = 0; i < catalogue.models().size(); ++i) {
    out["data"].push_back(model_object(catalogue, i));
    for (size_t k = 0; k < catalogue.models()[i].adapters.size(); ++k) {
      out["data"].push_back(adapter_object(catalogue, {i, k}));
    }
  }
  exchange.send({200, "application/json", dump_json(out), {}});
}

void handle_model(const Catalogue& catalogue, http::Exchange& exchange) {
  const std::string& name = exchange.request().path_rest;
  const auto found = catalogue.find(name);
  if (!found) return exchange.send(error_response(unknown_model(name)));
  const Json out =
      found->adapter ? adapter_object(catalogue, *found) : model_object(catalogue, found->index);
  exchange.send({200, "application/json", dump_json(out), {}});
}

}  // namespace quern::api::openai
