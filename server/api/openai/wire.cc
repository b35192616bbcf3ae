// See wire.h. The table lists every field of the OpenAI reference and of common extensions.
#include "server/api/openai/wire.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "server/api/adapters.h"
#include "server/api/generation.h"
#include "server/api/sampling.h"

namespace quern::api::openai {
namespace {

constexpr double kMaxInt = 2147483647.0;
constexpr size_t kMaxBiases = 1024;

constexpr std::array kFields = {
    read_field("model", FieldType::kString),
    ranged("temperature", FieldType::kNumber, 0, 2),
    ranged("top_p", FieldType::kNumber, 0, 1),
    ranged("n", FieldType::kInteger, 1, 8),
    read_field("stop", FieldType::kStringOrArray),
    read_field("stream", FieldType::kBool),
    read_field("stream_options", FieldType::kObject),
    ranged("presence_penalty", FieldType::kNumber, -2, 2),
    ranged("frequency_penalty", FieldType::kNumber, -2, 2),
    read_field("logit_bias", FieldType::kObject),
    read_field("seed", FieldType::kSeed),
    // Extensions of other local servers.
    ranged("top_k", FieldType::kInteger, -1, kMaxInt),
    ranged("min_p", FieldType::kNumber, 0, 1),
    ranged("typical_p", FieldType::kNumber, 0, 1),
    ranged("repetition_penalty", FieldType::kNumber, 0.01, 100),
    ranged("repeat_penalty", FieldType::kNumber, 0.01, 100),
    ranged("repeat_last_n", FieldType::kInteger, -1, kMaxInt),
    read_field("ignore_eos", FieldType::kBool),
    read_field("context_overflow", FieldType::kString),
    ranged("n_keep", FieldType::kInteger, -1, kMaxInt),
    ranged("priority", FieldType::kInteger, -1000, 1000),
    read_field("lora", FieldType::kArray),
    // What the answer must look like.
    read_field("response_format", FieldType::kObject),
    read_field("grammar", FieldType::kString),
    read_field("json_schema", FieldType::kAny),
    // Without effect on the answer.
    ignored("user"),
    ignored("metadata"),
    ignored("store"),
    ignored("service_tier"),
    ignored("prompt_cache_key"),
    ignored("prompt_cache_retention"),
    ignored("safety_identifier"),
    ignored("cache_prompt"),
    ignored("skip_special_tokens"),
    ignored("request_id"),
    // Would change the answer and are not there.
    refused("suffix"),
    refused("best_of", 1, "only 1 is possible"),
    refused("guided_json"),
    refused("guided_regex"),
    refused("guided_choice"),
    refused("guided_grammar"),
    refused("structured_outputs"),
    refused("min_tokens"),
    refused("stop_token_ids"),
    refused("bad_words"),
    refused("allowed_token_ids"),
    refused("include_stop_str_in_output"),
    refused("truncate_prompt_tokens"),
    refused("prompt_logprobs"),
    refused("length_penalty", 1),
    refused("use_beam_search"),
    refused("logits_processors"),
};

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

MaybeError read_bias(const Json& body, const ServedModel& model, engine::SamplingParams& out) {
  const Json* bias = find_field(body, "logit_bias");
  if (bias == nullptr) return std::nullopt;
  if (bias->size() > kMaxBiases) {
    return field_error(
        "logit_bias", "'logit_bias' must have at most " + std::to_string(kMaxBiases) + " entries.");
  }
  for (const auto& [key, value] : bias->items()) {
    engine::TokenId id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || !model.tokenizer->contains(id)) {
      return field_error("logit_bias", "'logit_bias' must have token ids from 0 to " +
                                           std::to_string(model.tokenizer->vocab_size() - 1) +
                                           " as keys.");
    }
    const double number = value.is_number() ? value.get<double>() : 1e9;
    if (!(number >= -100 && number <= 100)) {
      return field_error("logit_bias",
                         "'logit_bias' must have numbers from -100 to 100 as values.");
    }
    // OpenAI: -100 bans the token.
    const float amount =
        number == -100 ? -std::numeric_limits<float>::infinity() : static_cast<float>(number);
    out.logit_bias.emplace_back(id, amount);
  }
  return std::nullopt;
}

void read_sampling(const Json& body, engine::SamplingParams& out) {
  out.temperature = static_cast<float>(read_number(body, "temperature", 1.0));
  out.top_p = static_cast<float>(read_number(body, "top_p", 1.0));
  out.top_k = static_cast<int32_t>(std::max<int64_t>(read_integer(body, "top_k", 0), 0));
  out.min_p = static_cast<float>(read_number(body, "min_p", 0.0));
  out.typical_p = static_cast<float>(read_number(body, "typical_p", 1.0));
  const double penalty = read_number(body, "repeat_penalty", 1.0);
  out.repetition_penalty = static_cast<float>(read_number(body, "repetition_penalty", penalty));
  out.presence_penalty = static_cast<float>(read_number(body, "presence_penalty", 0.0));
  out.frequency_penalty = static_cast<float>(read_number(body, "frequency_penalty", 0.0));
  out.penalty_window = static_cast<int32_t>(read_integer(body, "repeat_last_n", -1));
  out.ignore_end_of_generation = read_bool(body, "ignore_eos", false);
  out.seed = read_seed(body);
}

MaybeError read_overflow(const Catalogue& catalogue, const Json& body, CommonRequest& out) {
  out.overflow = catalogue.overflow();
  if (const Json* name = find_field(body, "context_overflow")) {
    const auto policy = overflow_policy(name->get_ref<const std::string&>());
    if (!policy) {
      return field_error("context_overflow",
                         "'context_overflow' must be " + std::string(kOverflowPolicies) + ".");
    }
    out.overflow = *policy;
  }
  out.overflow.n_keep = read_integer(body, "n_keep", 0);
  const bool nothing_to_keep = !out.overflow.truncate && !out.overflow.shift;
  if (nothing_to_keep && find_field(body, "n_keep") != nullptr) out.unused.push_back("n_keep");
  return std::nullopt;
}

MaybeError read_stream_options(const Json& body, CommonRequest& out) {
  const Json* options = find_field(body, "stream_options");
  if (options == nullptr) return std::nullopt;
  if (!out.stream) {
    return field_error("stream_options", "'stream_options' is only possible with 'stream': true.");
  }
  static constexpr std::array kOptions = {read_field("include_usage", FieldType::kBool),
                                          ignored("include_obfuscation"),
                                          refused("continuous_usage_stats")};
  out.include_usage = read_bool(*options, "include_usage", false);
  return check_fields(*options, {kOptions}, "stream_options.", out.unused);
}

int64_t characters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

Json byte_array(const std::string& bytes) {
  Json out = Json::array();
  for (const char c : bytes) out.push_back(static_cast<int>(static_cast<unsigned char>(c)));
  return out;
}

Json logprob_entry(const ServedModel& model, engine::TokenId id, float logprob) {
  Json out;
  out["token"] = token_text(model, id);
  out["logprob"] = finite_logprob(logprob);
  out["bytes"] = byte_array(token_bytes(model, id));
  return out;
}

}  // namespace

const std::span<const FieldSpec> kCommonFields = kFields;

Json error_object(const ApiError& error) {
  Json inner;
  inner["message"] = error.message;
  inner["type"] = error_type(error.status);
  inner["param"] = error.param.empty() ? Json() : Json(error.param);
  inner["code"] = error.code.empty() ? Json() : Json(error.code);
  if (error.n_context > 0) {
    inner["n_prompt_tokens"] = error.n_prompt_tokens;
    inner["n_ctx"] = error.n_context;
  }
  Json out;
  out["error"] = std::move(inner);
  return out;
}

http::Response error_response(const ApiError& error) {
  http::Response response{error.status, "application/json", dump_json(error_object(error)), {}};
  if (error.status == 503 || error.status == 429) {
    response.headers.push_back({"retry-after", std::to_string(error.retry_after_s)});
  }
  return response;
}

MaybeError read_common(const Catalogue& catalogue, http::Exchange& exchange, const Json& body,
                       std::span<const FieldSpec> own, CommonRequest& out) {
  // The endpoint's own rows come first: the first match counts.
  if (MaybeError error = check_fields(body, {own, kCommonFields, kSamplerFields}, "", out.unused))
    return error;
  const std::string name = read_string(body, "model");
  const auto found = name.empty() ? Catalogue::Found{} : catalogue.find(name);
  if (!found) return unknown_model(name);
  const ListedModel& listed = catalogue.models()[found->index];
  out.model_name = name.empty() ? listed.id : name;
  out.adapters = catalogue.adapters_of(*found);
  if (MaybeError error = read_adapters(body, listed, out.adapters)) return error;
  out.origin = origin_of(catalogue, exchange.request());
  out.n = read_integer(body, "n", 1);
  out.priority = static_cast<int32_t>(read_integer(body, "priority", 0));
  out.stream = read_bool(body, "stream", false);
  read_sampling(body, out.sampling);
  if (MaybeError error = read_samplers(body, "", out.sampling, out.unused)) return error;
  if (MaybeError error = read_overflow(catalogue, body, out)) return error;
  if (MaybeError error = read_stream_options(body, out)) return error;
  if (MaybeError error = read_stops(body, "stop", out.stop)) return error;
  if (MaybeError error =
          acquire_model(catalogue, found->index, std::nullopt, out.origin, exchange, out.lease)) {
    return error;
  }
  out.model = &out.lease.model();
  if (MaybeError error = read_bias(body, *out.model, out.sampling)) return error;
  const ClientGone gone = [&exchange] { return exchange.client_gone(); };
  return read_openai_constraint(body, *out.model, gone, out.constraint);
}

Json usage_object(const engine::Usage& usage) {
  Json out;
  out["prompt_tokens"] = usage.prompt_tokens;
  out["completion_tokens"] = usage.completion_tokens;
  out["total_tokens"] = usage.prompt_tokens + usage.completion_tokens;
  out["prompt_tokens_details"] = {{"cached_tokens", usage.cached_tokens}};
  return out;
}

std::string_view finish_reason(engine::FinishReason reason) {
  return reason == engine::FinishReason::kLength ? "length" : "stop";
}

Json chat_logprobs(const ServedModel& model, const std::vector<engine::TokenLogprob>& logprobs) {
  Json out = Json::array();
  for (const engine::TokenLogprob& item : logprobs) {
    Json entry = logprob_entry(model, item.token, item.logprob);
    entry["top_logprobs"] = Json::array();
    for (const auto& [id, logprob] : item.top) {
      entry["top_logprobs"].push_back(logprob_entry(model, id, logprob));
    }
    out.push_back(std::move(entry));
  }
  return out;
}

Json LegacyLogprobs::empty() {
  Json out;
  out["text_offset"] = Json::array();
  out["token_logprobs"] = Json::array();
  out["tokens"] = Json::array();
  out["top_logprobs"] = Json::array();
  return out;
}

void LegacyLogprobs::append(Json& into, engine::TokenId token,
                            const engine::TokenLogprob* logprob) {
  const std::string text = token_text(*model_, token);
  into["text_offset"].push_back(offset_);
  into["tokens"].push_back(text);
  offset_ += characters(text);
  if (logprob == nullptr) {
    into["token_logprobs"].push_back(nullptr);
    into["top_logprobs"].push_back(nullptr);
    return;
  }
  into["token_logprobs"].push_back(finite_logprob(logprob->logprob));
  Json top = Json::object();
  for (const auto& [id, value] : logprob->top) {
    if (static_cast<int64_t>(top.size()) >= top_) break;
    top[token_text(*model_, id)] = finite_logprob(value);
  }
  into["top_logprobs"].push_back(std::move(top));
}

}  // namespace quern::api::openai
