// See app.h.
#include "server/api/app/app.h"

#include <algorithm>
#include <array>
#include <variant>

#include "config/base/digest.h"
#include "server/api/ollama/routes.h"
#include "server/api/ollama/wire.h"
#include "server/api/openai/routes.h"
#include "server/api/openai/wire.h"
#include "server/api/ops/routes.h"

namespace quern::api {
namespace {

http::Response error_body(std::string_view path, int status, std::string message) {
  const ApiError error{status, std::move(message), "", status == 401 ? "invalid_api_key" : ""};
  http::Response response =
      path.starts_with("/api/") ? ollama::error_response(error) : openai::error_response(error);
  // The HTTP layer says it with each 503 of its own.
  response.headers.clear();
  return response;
}

Status check_exposure(const AppOptions& options) {
  const bool empty_key = std::any_of(options.api_keys.begin(), options.api_keys.end(),
                                     [](const std::string& key) { return key.empty(); });
  if (empty_key) {
    return Error(ErrorKind::kInvalidInput, "An API key is empty; give it at least one character.");
  }
  if (http::is_loopback_host(options.host) || !options.api_keys.empty() || options.insecure) {
    return ok_status();
  }
  return Error(ErrorKind::kInvalidInput,
               "Listening on " + options.host +
                   " lets other machines in: set --api-key, or add --insecure if that is meant.");
}

// With several keys, each has a share of its own; its name is not the key, but as stable.
std::vector<std::string> share_names(const std::vector<std::string>& keys) {
  std::vector<std::string> out;
  if (keys.size() < 2) return out;
  for (const std::string& key : keys) out.push_back(sha256_hex(key));
  return out;
}

constexpr size_t kMaxPath = 256;

// "req-abc 127.0.0.1 POST /v1/completions 200 1234 bytes 56.7 ms"; "-" for what is not known.
std::string access_line(const http::AccessRecord& record) {
  constexpr int64_t kNsPerTenthMs = 100'000;
  const auto known = [](const std::string& text) { return text.empty() ? std::string("-") : text; };
  const int64_t tenths = record.duration.count() / kNsPerTenthMs;
  return record.id + " " + record.peer + " " + known(record.method) + " " +
         known(record.path.substr(0, kMaxPath)) + " " +
         (record.status == 0 ? "gone" : std::to_string(record.status)) + " " +
         std::to_string(record.bytes_sent) + " bytes " + std::to_string(tenths / 10) + "." +
         std::to_string(tenths % 10) + " ms";
}

void log_answer(const Log& log, const http::AccessRecord& record) {
  using Value = std::variant<std::string_view, int64_t, double>;
  const std::string_view path = std::string_view(record.path).substr(0, kMaxPath);
  const std::array<LogField, 7> fields = {{
      {"id", record.id},
      {"peer", record.peer},
      {"method", record.method},
      {"path", path},
      {"status", int64_t{record.status}},  // 0: the client went away before an answer
      {"bytes", static_cast<int64_t>(record.bytes_sent)},
      {"ms", std::chrono::duration<double, std::milli>(record.duration).count()},
  }};
  std::vector<LogField> notes;
  for (const http::Note& note : record.notes) {
    Value value = std::visit([](const auto& held) { return Value(held); }, note.value);
    notes.push_back({note.name, value});
  }
  log.write(LogLevel::kInfo, access_line(record), {"request", fields}, notes);
}

}  // namespace

Result<std::unique_ptr<App>> App::create(AppOptions options, std::vector<ServedModel> models) {
  const size_t n_models = models.size();
  QUERN_ASSIGN_OR_RETURN(auto app, create(std::move(options), fixed_offers(std::move(models))));
  for (size_t i = 0; i < n_models; ++i) {
    QUERN_RETURN_IF_ERROR(app->preload(i));
  }
  return app;
}

Result<std::unique_ptr<App>> App::create(AppOptions options, std::vector<ModelOffer> offers) {
  if (offers.empty()) return Error(ErrorKind::kInvalidInput, "There is no model to serve.");
  QUERN_RETURN_IF_ERROR(check_exposure(options));
  CatalogueOptions about;
  about.version = options.version;
  about.request_timeout = options.request_timeout;
  about.shares = share_names(options.api_keys);
  about.overflow = options.overflow;
  about.manager = options.manager;
  auto catalogue = std::make_shared<const Catalogue>(std::move(offers), std::move(about));
  auto app = std::unique_ptr<App>(new App());
  app->catalogue_ = catalogue;
  app->draining_ = std::make_shared<std::atomic<bool>>(false);
  http::Router router;
  openai::add_routes(router, catalogue);
  ollama::add_routes(router, catalogue);
  App* const self = app.get();  // handlers end before the App does
  ops::add_routes(router, {catalogue, app->draining_, [self] { return self->counters(); }});
  http::ServerOptions server;
  server.host = options.host;
  server.port = options.port;
  server.limits = options.limits;
  server.access.api_keys = options.api_keys;
  server.access.check_host = http::is_loopback_host(options.host) || !options.allowed_hosts.empty();
  server.access.allowed_hosts = options.allowed_hosts;
  server.access.allowed_origins = options.allowed_origins;
  server.error_body = error_body;
  server.server_name = "quern/" + options.version;
  server.on_answered = [log = options.log](const http::AccessRecord& record) {
    log_answer(log, record);
  };
  QUERN_ASSIGN_OR_RETURN(app->server_,
                         http::HttpServer::create(std::move(server), std::move(router)));
  return app;
}

App::~App() { stop(); }

Status App::start() { return server_->start(); }

int App::port() const { return server_->port(); }

std::vector<std::string> App::urls() const {
  std::vector<std::string> out;
  for (const std::string& address : server_->addresses()) out.push_back("http://" + address);
  return out;
}

http::ServerCounters App::counters() const { return server_->counters(); }

bool App::drain(std::chrono::steady_clock::time_point deadline) {
  draining_->store(true);
  server_->stop_accepting();
  return server_->wait_idle(deadline);
}

Status App::preload(size_t index) {
  auto lease = catalogue_->manager().acquire(index, {});
  if (!lease.ok()) return lease.error();
  return ok_status();
}

void App::drain_models(std::chrono::steady_clock::time_point deadline) {
  catalogue_->manager().drain(deadline);
}

void App::stop() {
  if (!server_) return;
  draining_->store(true);
  server_->stop_accepting();
  // Long enough for the last event of a drained engine to reach its client.
  server_->wait_idle(std::chrono::steady_clock::now() + std::chrono::milliseconds(500));
  server_->stop();
}

}  // namespace quern::api
