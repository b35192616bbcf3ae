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
  const ServedModel* model = nullptr;
  std::string model_name;  // as the client wrote it
  engine::SamplingParams sampling;
  std::vector<std::string> stop;
  ConstraintPointer constraint;  // null: free text
  OverflowPolicy overflow;
  int64_t max_tokens = -1;
  std::optional<int32_t> top_logprobs;
  bool stream = true;
  bool unload = false;  // keep_alive is 0
  std::vector<std::string> unused;
};
// A format is compiled last, as long as the client has not `gone`.
MaybeError read_common(const Catalogue& catalogue, const Json& body, std::span<const FieldSpec> own,
                       const ClientGone& gone, CommonRequest& out);

// Whether a keep_alive value is well-formed, and whether it is zero: a number of seconds or a Go
// duration ("5m", "1h30m", "-1s").
bool parse_keep_alive(const Json& value, bool& is_zero);

// details{} of listings.
Json details_object(const ServedModel& model);
// "name" with its tag, ":latest" by default.
std::string tagged_name(const ServedModel& model);

}  // namespace quern::api::ollama
