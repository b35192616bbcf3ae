// GET /api/tags, /api/ps, /api/version, POST /api/show, GET /.
#include <array>

#include "server/api/generation.h"
#include "server/api/ids.h"
#include "server/api/ollama/routes.h"
#include "server/api/ollama/wire.h"

namespace quern::api::ollama {
namespace {

constexpr size_t kMaxListed = 5;  // elements of an array shown without "verbose"

constexpr std::array kShowFields = {
    read_field("model", FieldType::kString),
    read_field("name", FieldType::kString),
    read_field("verbose", FieldType::kBool),
    reported("system"),
    reported("template"),
    reported("options"),
};

void send_json(http::Exchange& exchange, const Json& body) {
  exchange.send({200, "application/json; charset=utf-8", dump_json(body), {}});
}

Json listing(const ServedModel& model) {
  Json out;
  out["name"] = tagged_name(model);
  out["model"] = tagged_name(model);
  out["modified_at"] = rfc3339(model.modified_unix_s);
  out["size"] = model.facts.file_bytes;
  out["digest"] = model.digest;
  out["details"] = details_object(model);
  return out;
}

Json model_info(const ServedModel& model, bool verbose) {
  Json out = Json::object();
  for (const auto& [key, value] : model.model_info.items()) {
    if (key == "general.name" || key == "tokenizer.chat_template") continue;
    const bool hidden = !verbose && value.is_array() && value.size() > kMaxListed;
    out[key] = hidden ? Json() : value;
  }
  return out;
}

}  // namespace

void handle_tags(const Catalogue& catalogue, http::Exchange& exchange) {
  Json out;
  out["models"] = Json::array();
  for (const ServedModel& model : catalogue.models) out["models"].push_back(listing(model));
  send_json(exchange, out);
}

void handle_ps(const Catalogue& catalogue, http::Exchange& exchange) {
  Json out;
  out["models"] = Json::array();
  for (const ServedModel& model : catalogue.models) {
    Json entry = listing(model);
    entry.erase("modified_at");
    // Never unloaded: a time that no client will live to see.
    constexpr int64_t kCentury = int64_t{100} * 365 * 24 * 3600;
    entry["expires_at"] = rfc3339(unix_seconds() + kCentury);
    entry["size_vram"] = 0;
    entry["context_length"] = model.engine->context_tokens();
    out["models"].push_back(std::move(entry));
  }
  send_json(exchange, out);
}

void handle_show(const Catalogue& catalogue, http::Exchange& exchange) {
  Json body;
  MaybeError error = parse_body(exchange.request().body, body);
  std::vector<std::string> unused;
  if (!error) error = check_fields(body, {kShowFields}, "", unused);
  if (error) return exchange.send(error_response(*error));
  const std::string name = read_string(body, "model", read_string(body, "name"));
  if (name.empty()) return exchange.send(error_response(field_error("model", "model is required")));
  const ServedModel* model = catalogue.find(name);
  if (model == nullptr) return exchange.send(error_response(unknown_model(name)));
  Json out;
  out["license"] = model->facts.license;
  out["modelfile"] = "";
  out["parameters"] = "";
  out["template"] = model->has_own_template ? model->chat_template->source() : "";
  out["details"] = details_object(*model);
  out["model_info"] = model_info(*model, read_bool(body, "verbose", false));
  out["capabilities"] = Json::array({"completion"});
  out["modified_at"] = rfc3339(model->modified_unix_s);
  send_json(exchange, out);
}

void handle_version(const Catalogue& catalogue, http::Exchange& exchange) {
  Json out;
  out["version"] = kApiVersion;
  out["quern"] = catalogue.version;
  send_json(exchange, out);
}

void handle_root(const Catalogue& /*catalogue*/, http::Exchange& exchange) {
  // Clients of that API compare this very text to see whether a server is there.
  exchange.send({200, "text/plain; charset=utf-8", "Ollama is running", {}});
}

}  // namespace quern::api::ollama
