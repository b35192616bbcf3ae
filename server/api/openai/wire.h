// Forms that all OpenAI endpoints share: errors, usage, logprobs, common fields.
// Source: OpenAI API reference (completions, chat completions, models); docs of its SDKs.
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
#include "server/api/overflow.h"
#include "server/api/served_model.h"
#include "server/http/message.h"

namespace quern::api::openai {

// {"error":{message,type,param,code}}.
Json error_object(const ApiError& error);
http::Response error_response(const ApiError& error);

// What the sampling fields of both generating endpoints say.
struct CommonRequest {
  RequestOrigin origin;
  ModelLease lease;
  const ServedModel* model = nullptr;  // of the lease
  std::string model_name;              // as the client wrote it, or the served one's
  std::vector<engine::AdapterUse> adapters;
  engine::SamplingParams sampling;
  std::vector<std::string> stop;
  ConstraintPointer constraint;  // null: free text
  OverflowPolicy overflow;
  Truncation dropped;  // from the prompts
  int64_t n = 1;
  int32_t priority = 0;
  bool stream = false;
  bool include_usage = false;
  std::vector<std::string> unused;  // names for x-quern-ignored
};

extern const std::span<const FieldSpec> kCommonFields;

// Checks `body` against kCommonFields and `own`, reads the common fields and gets hold of the
// model. Loading it and compiling a grammar come last and stop when the client has gone.
MaybeError read_common(const Catalogue& catalogue, http::Exchange& exchange, const Json& body,
                       std::span<const FieldSpec> own, CommonRequest& out);

Json usage_object(const engine::Usage& usage);
std::string_view finish_reason(engine::FinishReason reason);

// Entries of choices[].logprobs.content.
Json chat_logprobs(const ServedModel& model, const std::vector<engine::TokenLogprob>& logprobs);

// The legacy form of /v1/completions, built piece by piece: offsets count characters of the text.
class LegacyLogprobs {
 public:
  LegacyLogprobs(const ServedModel& model, int64_t top) : model_(&model), top_(top) {}
  // Appends to `into` ({tokens, token_logprobs, top_logprobs, text_offset}); a missing logprob (the
  // first token of an echoed prompt) becomes null.
  void append(Json& into, engine::TokenId token, const engine::TokenLogprob* logprob);
  static Json empty();

 private:
  const ServedModel* model_;
  int64_t top_;
  int64_t offset_ = 0;
};

}  // namespace quern::api::openai
