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
#include "server/api/served_model.h"
#include "server/http/message.h"

namespace quern::api {

// Sequences of one HTTP request that run side by side.
class Generation {
 public:
  // Submits all or none; neighbours with equal prompts as one group, so that the prompt is computed
  // once. Errors: queue full (says when to come back), prompt too long, parameter out of range.
  static std::optional<ApiError> submit(engine::Engine& engine,
                                        std::vector<engine::Request> requests,
                                        std::unique_ptr<Generation>& out);

  struct Item {
    size_t index = 0;  // which request
    engine::Event event;
  };
  // Waits for the next event of any sequence. Nothing: the client has gone, or all have ended.
  std::optional<Item> next(http::Exchange& exchange);
  bool done() const { return active_ == 0; }

 private:
  std::vector<std::unique_ptr<engine::Stream>> streams_;  // null once ended
  size_t active_ = 0;
  size_t turn_ = 0;
  std::chrono::steady_clock::time_point next_look_{};
};

// Notes in `out` what the engine is to know about where a request comes from: share and deadline.
void set_origin(const Catalogue& catalogue, const http::Request& request, engine::Request& out);

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
