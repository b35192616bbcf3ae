// See wire.h.
#include "server/api/ollama/wire.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "server/api/duration.h"
#include "server/api/generation.h"
#include "server/api/sampling.h"

namespace quern::api::ollama {
namespace {

constexpr double kMaxInt = 2147483647.0;
constexpr int64_t kUsualKeep = 4;  // Ollama's num_keep

constexpr std::array kFields = {
    read_field("model", FieldType::kString),
    read_field("name", FieldType::kString),
    read_field("stream", FieldType::kBool),
    read_field("options", FieldType::kObject),
    read_field("keep_alive", FieldType::kAny),
    read_field("logprobs", FieldType::kBool),
    ranged("top_logprobs", FieldType::kInteger, 0, 20),
    read_field("think", FieldType::kAny),
    read_field("format", FieldType::kAny),
    // Without them the server's --context-overflow decides (Ollama's own default is true).
    read_field("truncate", FieldType::kBool),
    read_field("shift", FieldType::kBool),
};

constexpr std::array kOptions = {
    ranged("num_predict", FieldType::kInteger, -2, kMaxInt),
    ranged("temperature", FieldType::kNumber, 0, 100),
    ranged("top_k", FieldType::kInteger, -1, kMaxInt),
    ranged("top_p", FieldType::kNumber, 0, 1),
    ranged("min_p", FieldType::kNumber, 0, 1),
    ranged("typical_p", FieldType::kNumber, 0, 1),
    ranged("repeat_last_n", FieldType::kInteger, -1, kMaxInt),
    ranged("repeat_penalty", FieldType::kNumber, 0.01, 100),
    ranged("presence_penalty", FieldType::kNumber, -100, 100),
    ranged("frequency_penalty", FieldType::kNumber, -100, 100),
    read_field("seed", FieldType::kSeed),
    read_field("stop", FieldType::kStringOrArray),
    read_field("num_ctx", FieldType::kInteger),
    ranged("num_keep", FieldType::kInteger, -1, kMaxInt),
    // Set when the server starts; named in x-quern-ignored when a request has them.
    reported("num_batch"),
    reported("num_gpu"),
    reported("main_gpu"),
    reported("num_thread"),
    reported("use_mmap"),
    reported("use_mlock"),
    reported("low_vram"),
    reported("f16_kv"),
    reported("numa"),
    reported("draft_num_predict"),
    refused("tfs_z", 1),
    refused("grammar", 0, "use 'format'"),
};

void read_sampling(const Json& options, engine::SamplingParams& out) {
  out.temperature = static_cast<float>(read_number(options, "temperature", 0.8));
  out.top_k = static_cast<int32_t>(std::max<int64_t>(read_integer(options, "top_k", 40), 0));
  out.top_p = static_cast<float>(read_number(options, "top_p", 0.9));
  out.min_p = static_cast<float>(read_number(options, "min_p", 0.0));
  out.typical_p = static_cast<float>(read_number(options, "typical_p", 1.0));
  out.penalty_window = static_cast<int32_t>(read_integer(options, "repeat_last_n", 64));
  out.repetition_penalty = static_cast<float>(read_number(options, "repeat_penalty", 1.0));
  out.presence_penalty = static_cast<float>(read_number(options, "presence_penalty", 0.0));
  out.frequency_penalty = static_cast<float>(read_number(options, "frequency_penalty", 0.0));
  out.seed = read_seed(options);
}

MaybeError read_options(const Json& body, CommonRequest& out) {
  static const Json kNone = Json::object();
  const Json* given = find_field(body, "options");
  const Json& options = given == nullptr ? kNone : *given;
  if (MaybeError error = check_fields(options, {kOptions, kSamplerFields}, "options.", out.unused))
    return error;
  read_sampling(options, out.sampling);
  if (MaybeError error = read_samplers(options, "options.", out.sampling, out.unused)) return error;
  out.overflow.n_keep = read_integer(options, "num_keep", kUsualKeep);
  // -2 ("fill the context") and -1 ("no limit") differ only where the context shifts.
  if (read_integer(options, "num_predict", -1) == -2) out.overflow.shift = false;
  out.max_tokens = std::max<int64_t>(read_integer(options, "num_predict", -1), -1);
  out.context_wanted = read_integer(options, "num_ctx", 0);
  return read_stops(options, "options.stop", out.stop);
}

MaybeError check_think(const Json& body, const CommonRequest& request) {
  const Json* think = find_field(body, "think");
  if (think == nullptr || (think->is_boolean() && !think->get<bool>())) return std::nullopt;
  if (!think->is_boolean() && !think->is_string()) {
    return field_error("think", "'think' must be true, false or a level.");
  }
  return field_error("think", "\"" + request.model_name + "\" does not support thinking");
}

// 1234567 to "1.2M".
std::string short_count(uint64_t n) {
  constexpr std::pair<uint64_t, const char*> kSteps[] = {
      {1'000'000'000, "B"}, {1'000'000, "M"}, {1'000, "K"}};
  for (const auto& [step, letter] : kSteps) {
    if (n < step) continue;
    const uint64_t tenths = n / (step / 10);
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + letter;
  }
  return std::to_string(n);
}

}  // namespace

http::Response error_response(const ApiError& error) {
  Json body;
  body["error"] = error.message;
  http::Response response{error.status, "application/json; charset=utf-8", dump_json(body), {}};
  if (error.status == 503 || error.status == 429) {
    response.headers.push_back({"retry-after", std::to_string(error.retry_after_s)});
  }
  return response;
}

MaybeError read_common(const Catalogue& catalogue, const http::Request& request, const Json& body,
                       std::span<const FieldSpec> own, CommonRequest& out) {
  if (MaybeError error = check_fields(body, {own, kFields}, "", out.unused)) return error;
  out.model_name = read_string(body, "model", read_string(body, "name"));
  if (out.model_name.empty()) return field_error("model", "model is required");
  const auto found = catalogue.find(out.model_name);
  if (!found) return unknown_model(out.model_name);
  out.index = found->index;
  out.adapters = catalogue.adapters_of(*found);
  out.origin = origin_of(catalogue, request);
  out.stream = read_bool(body, "stream", true);
  if (const Json* keep = find_field(body, "keep_alive")) {
    out.keep_alive = parse_keep_alive(*keep);
    if (!out.keep_alive) {
      return field_error("keep_alive",
                         "'keep_alive' must be a number of seconds or a duration like \"5m\".");
    }
  }
  if (read_bool(body, "logprobs", false)) {
    out.top_logprobs = static_cast<int32_t>(read_integer(body, "top_logprobs", 0));
  } else if (read_integer(body, "top_logprobs", 0) > 0) {
    return field_error("top_logprobs", "'top_logprobs' needs 'logprobs': true.");
  }
  if (MaybeError error = check_think(body, out)) return error;
  out.overflow.truncate = read_bool(body, "truncate", catalogue.overflow().truncate);
  out.overflow.shift = read_bool(body, "shift", catalogue.overflow().shift);
  return read_options(body, out);
}

MaybeError take_model(const Catalogue& catalogue, http::Exchange& exchange, const Json& body,
                      CommonRequest& out) {
  const bool loaded = catalogue.state(out.index).loaded;
  const auto asked = std::chrono::steady_clock::now();
  if (MaybeError error =
          acquire_model(catalogue, out.index, out.keep_alive, out.origin, exchange, out.lease)) {
    return error;
  }
  if (!loaded) {
    out.load_ns = std::chrono::nanoseconds(std::chrono::steady_clock::now() - asked).count();
  }
  out.model = &out.lease.model();
  // A longer context than the server's is not to be had per request; a prompt that needs it is
  // refused by the engine.
  if (out.context_wanted > out.model->engine->context_tokens()) {
    out.unused.push_back("options.num_ctx");
  }
  const ClientGone gone = [&exchange] { return exchange.client_gone(); };
  return read_ollama_constraint(body, *out.model, gone, out.constraint);
}

Json details_object(const ListedModel& model, std::string_view parent) {
  Json out;
  out["parent_model"] = parent;
  out["format"] = "gguf";
  out["family"] = model.facts.architecture;
  out["families"] = Json::array({model.facts.architecture});
  out["parameter_size"] = short_count(model.facts.n_parameters);
  out["quantization_level"] = model.facts.recipe;
  return out;
}

std::string tagged_name(const ListedModel& model) {
  return model.id.find(':') == std::string::npos ? model.id + ":latest" : model.id;
}

}  // namespace quern::api::ollama
