// The front door as a whole: models and options in, a listening server out. What the command line
// uses.
//
// Life: create() binds the addresses, start() answers, drain() lets requests finish, stop() ends.
// Models on offer are loaded and unloaded inside; what their loading needs must outlive the App.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "config/base/log.h"
#include "config/base/result.h"
#include "server/api/app/describe_model.h"
#include "server/api/catalogue.h"
#include "server/http/http_server.h"

namespace quern::api {

struct AppOptions {
  std::string host = "localhost";  // both loopback addresses; an address or name otherwise
  int port = 8080;                 // 0: any free one
  std::vector<std::string> api_keys;
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> allowed_origins;
  bool insecure = false;                    // permits an address other than loopback without a key
  std::chrono::seconds request_timeout{0};  // of generating requests; 0: none
  OverflowPolicy overflow;                  // of requests that do not say
  std::string version = "0.1.0";
  http::Limits limits;
  Log log = Log::none();  // gets a line per request
  engine::ManagerOptions manager;
};

class App {
 public:
  // Errors: no model, an address that needs a key, a taken port; each with the next step.
  static Result<std::unique_ptr<App>> create(AppOptions options, std::vector<ModelOffer> offers);
  // With models that are loaded and belong to the caller.
  static Result<std::unique_ptr<App>> create(AppOptions options, std::vector<ServedModel> models);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Loads a model ahead of the first request for it.
  Status preload(size_t index);
  Status start();
  int port() const;
  // "http://127.0.0.1:8080", one per address listened on.
  std::vector<std::string> urls() const;
  http::ServerCounters counters() const;
  const Catalogue& catalogue() const { return *catalogue_; }
  // Takes no more work (listeners close, /health says 503 on open connections) and waits for the
  // requests in progress. True when all are answered, false at `deadline`; may be called again. The
  // engines go on: end what is left with drain_models() and stop().
  bool drain(std::chrono::steady_clock::time_point deadline);
  // Loads nothing more; requests of all models have until `deadline`, then fail.
  void drain_models(std::chrono::steady_clock::time_point deadline);
  // Gives answers on their way a moment to be written, then cuts every connection. Idempotent.
  void stop();

 private:
  App() = default;

  std::shared_ptr<const Catalogue> catalogue_;
  std::shared_ptr<std::atomic<bool>> draining_;
  std::unique_ptr<http::HttpServer> server_;
};

}  // namespace quern::api
