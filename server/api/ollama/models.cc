// GET /api/tags, /api/ps, /api/version, POST /api/show, GET /.
#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <utility>

#include "config/base/digest.h"
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

Json listing(const ListedModel& model) {
  Json out;
  out["name"] = tagged_name(model);
  out["model"] = tagged_name(model);
  out["modified_at"] = rfc3339(model.modified_unix_s);
  out["size"] = model.facts.file_bytes;
  out["digest"] = model.digest;
  out["details"] = details_object(model);
  return out;
}

Json adapter_listing(const ListedModel& model, const ListedAdapter& adapter) {
  Json out = listing(model);
  out["name"] = model.adapter_id(adapter);
  out["model"] = model.adapter_id(adapter);
  out["modified_at"] = rfc3339(adapter.modified_unix_s);
  out["size"] = model.facts.file_bytes + adapter.file_bytes;
  out["digest"] = sha256_hex(model.digest + ":" + adapter.name);
  out["details"] = details_object(model, tagged_name(model));
  return out;
}

Json model_info(const ListedModel& model, bool verbose) {
  Json out = Json::object();
  for (const auto& [key, value] : model.model_info.items()) {
    if (key == "general.name" || key == "tokenizer.chat_template") continue;
    const bool hidden = !verbose && value.is_array() && value.size() > kMaxListed;
    out[key] = hidden ? Json() : value;
  }
  return out;
}

// The time at which a model that nobody uses goes.
std::string expiry(engine::KeepAlive expires_in) {
  // For ever: a time that no client will live to see.
  constexpr int64_t kCentury = int64_t{100} * 365 * 24 * 3600;
  if (expires_in == engine::kForever) return rfc3339(unix_seconds() + kCentury);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t ns = std::chrono::nanoseconds(now).count() + expires_in.count();
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  return rfc3339(ns / kNsPerSecond, ns % kNsPerSecond);
}

}  // namespace

// The newest first, as clients show them.
void handle_tags(const Catalogue& catalogue, http::Exchange& exchange) {
  const std::vector<ListedModel>& models = catalogue.models();
  std::vector<size_t> order(models.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return models[a].modified_unix_s > models[b].modified_unix_s;
  });
  Json out;
  out["models"] = Json::array();
  for (const size_t i : order) {
    out["models"].push_back(listing(models[i]));
    for (const ListedAdapter& adapter : models[i].adapters) {
      out["models"].push_back(adapter_listing(models[i], adapter));
    }
  }
  send_json(exchange, out);
}

void handle_ps(const Catalogue& catalogue, http::Exchange& exchange) {
  std::vector<std::pair<engine::KeepAlive, Json>> loaded;
  for (size_t i = 0; i < catalogue.models().size(); ++i) {
    const ModelLease lease = catalogue.peek(i);
    if (!lease) continue;
    const engine::ModelState state = catalogue.state(i);
    Json entry = listing(catalogue.models()[i]);
    entry.erase("modified_at");
    entry["size"] = state.bytes;
    entry["expires_at"] = expiry(state.expires_in);
    entry["size_vram"] = 0;
    entry["context_length"] = lease.model().engine->context_tokens();
    loaded.emplace_back(state.expires_in, std::move(entry));
  }
  // The latest to expire first.
  std::stable_sort(loaded.begin(), loaded.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  Json out;
  out["models"] = Json::array();
  for (auto& [expires_in, entry] : loaded) out["models"].push_back(std::move(entry));
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
  const auto found = catalogue.find(name);
  if (!found) return exchange.send(error_response(unknown_model(name)));
  const ListedModel* model = &catalogue.models()[found->index];
  Json out;
  out["license"] = model->facts.license;
  out["modelfile"] = "";
  out["parameters"] = "";
  out["template"] = model->template_source;
  out["details"] = details_object(*model, found->adapter ? tagged_name(*model) : "");
  out["model_info"] = model_info(*model, read_bool(body, "verbose", false));
  out["capabilities"] = Json::array({"completion"});
  out["modified_at"] = rfc3339(model->modified_unix_s);
  send_json(exchange, out);
}

void handle_version(const Catalogue& catalogue, http::Exchange& exchange) {
  Json out;
  out["version"] = kApiVersion;
  out["quern"] = catalogue.version();
  send_json(exchange, out);
}

void handle_root(const Catalogue& /*catalogue*/, http::Exchange& exchange) {
  // Clients of that API compare this very text to see whether a server is there.
  exchange.send({200, "text/plain; charset=utf-8", "Ollama is running", {}});
}

}  // namespace quern::api::ollama
