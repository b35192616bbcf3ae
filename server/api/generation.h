// Running requests on the engine while watching the client: events in, disconnects to cancellation.
//
// Shared by all dialects; knows neither JSON forms nor prompts. Invariant: when a Generation is
// gone, so are its sequences in the engine.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/run/engine.h"
#include "server/api/api_error.h"
#include "server/api/catalogue.h"
#include "server/api/served_model.h"
#include "server/http/message.h"

namespace quern::api {

// Where a request comes from, as far as the engine is to know.
struct RequestOrigin {
  std::string share;
  std::optional<std::chrono::steady_clock::time_point> deadline;  // counted from now
};
RequestOrigin origin_of(const Catalogue& catalogue, const http::Request& request);

// Gets hold of a model, waiting for it to be loaded as long as the client is there and the deadline
// allows. `keep_alive`: how long it stays afterwards; nothing: as before.
MaybeError acquire_model(const Catalogue& catalogue, size_t index,
                         std::optional<engine::KeepAlive> keep_alive, const RequestOrigin& origin,
                         http::Exchange& exchange, ModelLease& out);

// Sequences of one HTTP request that run side by side. Notes on the exchange, for its line of the
// log, the tokens of prompt and answer and the time to the first one.
class Generation {
 public:
  ~Generation();
  // Submits all or none; neighbours with equal prompts as one group, so that the prompt is computed
  // once. Errors: queue full (says when to come back), prompt too long, parameter out of range.
  static std::optional<ApiError> submit(http::Exchange& exchange, engine::Engine& engine,
                                        std::vector<engine::Request> requests,
                                        std::unique_ptr<Generation>& out);

  struct Item {
    size_t index = 0;  // which request
    engine::Event event;
  };
  // Waits for the next event of any sequence. Nothing: the client has gone, or all have ended.
  std::optional<Item> next();
  bool done() const { return active_ == 0; }

 private:
  explicit Generation(http::Exchange& exchange) : exchange_(&exchange) {}
  void take_note(size_t index, const engine::Event& event);

  http::Exchange* exchange_;
  std::chrono::steady_clock::time_point submitted_ = std::chrono::steady_clock::now();
  std::optional<double> first_token_ms_;
  int64_t prompt_tokens_ = 0;  // of each group once
  int64_t completion_tokens_ = 0;
  std::vector<std::unique_ptr<engine::Stream>> streams_;  // null once ended
  std::vector<int64_t> shown_tokens_;                     // of each stream, so far
  size_t active_ = 0;
  size_t turn_ = 0;
  std::chrono::steady_clock::time_point next_look_{};
};

// Text of a token for logprobs: its bytes with ill-formed UTF-8 replaced, and the bytes themselves.
std::string token_text(const ServedModel& model, engine::TokenId id);
std::string token_bytes(const ServedModel& model, engine::TokenId id);
// A log-probability as JSON can carry it.
double finite_logprob(float logprob);

// Stop strings from a checked field: a string or an array of strings. Empty ones do nothing and are
// dropped.
inline constexpr size_t kMaxStops = 16;
inline constexpr size_t kMaxStopBytes = 256;
MaybeError read_stops(const Json& object, std::string_view path, std::vector<std::string>& out);

// A seed from a checked field; absent or -1: a random one.
uint64_t read_seed(const Json& object);

// Body of a request as a JSON object.
MaybeError parse_body(const std::string& body, Json& out);

}  // namespace quern::api
