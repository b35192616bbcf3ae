// Forms that all Ollama-style endpoints share: errors, options, names, keep-alive, metrics.
// Source: Ollama API documentation (docs/api.md) and the behaviour of its clients.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/json.h"
#include "engine/types/request.h"
#include "server/api/api_error.h"
#include "server/api/constraint.h"
#include "server/api/fields.h"
#include "server/api/generation.h"
#include "server/api/overflow_policy.h"
#include "server/api/served_model.h"
#include "server/http/message.h"

namespace quern::api::ollama {

// Clients compare it numerically with the release a feature came in; this is the release whose API
// is followed.
inline constexpr std::string_view kApiVersion = "0.15.0";

// {"error":"text"}.
http::Response error_response(const ApiError& error);

// The fields that /api/generate and /api/chat share.
struct CommonRequest {
  RequestOrigin origin;
  size_t index = 0;  // in the catalogue
  std::vector<engine::AdapterUse> adapters;
  ModelLease lease;
  const ServedModel* model = nullptr;  // of the lease
  std::string model_name;              // as the client wrote it
  engine::SamplingParams sampling;
  std::vector<std::string> stop;
  ConstraintPointer constraint;  // null: free text
  OverflowPolicy overflow;
  int64_t max_tokens = -1;
  int64_t context_wanted = 0;
  int64_t load_ns = 0;  // that it waited for the model; 0 when that was loaded already
  std::optional<int32_t> top_logprobs;
  bool stream = true;
  std::optional<engine::KeepAlive> keep_alive;
  std::vector<std::string> unused;
};
// Everything that needs no model; loads nothing.
MaybeError read_common(const Catalogue& catalogue, const http::Request& request, const Json& body,
                       std::span<const FieldSpec> own, CommonRequest& out);
// Then the model, which is loaded if need be, and what needs it. Loading it and compiling a format
// stop when the client has gone.
MaybeError take_model(const Catalogue& catalogue, http::Exchange& exchange, const Json& body,
                      CommonRequest& out);

// details{} of listings. `parent`: the model that this one is with an adapter.
Json details_object(const ListedModel& model, std::string_view parent = "");
// "name" with its tag, ":latest" by default.
std::string tagged_name(const ListedModel& model);

}  // namespace quern::api::ollama
