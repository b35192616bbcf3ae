// See generation.h.
#include "server/api/generation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/api/fields.h"
#include "server/api/ids.h"

namespace quern::api {
namespace {

// Seconds; nobody plans further ahead.
constexpr double kMaxRetryAfter = 3600;

// How often the client is looked at while the engine is silent; bounds how long a sequence outlives
// its client.
constexpr auto kLook = std::chrono::milliseconds(50);

// A refusal that says when to come back: 429 when the key's own requests are in the way, else 503.
ApiError submit_error(const engine::Engine& engine, const std::string& share, size_t n_prompt,
                      const Error& error) {
  ApiError out = from_error(error);
  if (error.kind() == ErrorKind::kContextOverflow) {
    out.n_prompt_tokens = static_cast<int64_t>(n_prompt);
    out.n_context = engine.context_tokens();
  }
  if (error.kind() != ErrorKind::kBusy) return out;
  if (engine.share_is_full(share)) blame_key(out);
  const double wait_s = std::ceil(engine.stats().predicted_wait_ms / 1000);
  out.retry_after_s = static_cast<int>(std::clamp(wait_s, 1.0, kMaxRetryAfter));
  return out;
}

}  // namespace

RequestOrigin origin_of(const Catalogue& catalogue, const http::Request& request) {
  RequestOrigin origin;
  const std::vector<std::string>& shares = catalogue.shares();
  if (request.key_index < shares.size()) origin.share = shares[request.key_index];
  if (catalogue.request_timeout().count() > 0) {
    origin.deadline = std::chrono::steady_clock::now() + catalogue.request_timeout();
  }
  return origin;
}

MaybeError acquire_model(const Catalogue& catalogue, size_t index,
                         std::optional<engine::KeepAlive> keep_alive, const RequestOrigin& origin,
                         http::Exchange& exchange, ModelLease& out) {
  exchange.note("model", catalogue.models()[index].id);
  const engine::ModelManager::Ask ask{keep_alive, origin.deadline,
                                      [&exchange] { return exchange.client_gone(); }, origin.share};
  return catalogue.acquire(index, ask, out);
}

Generation::~Generation() {
  if (streams_.empty()) return;  // refused
  exchange_->note("prompt_tokens", prompt_tokens_);
  exchange_->note("completion_tokens", completion_tokens_);
  if (first_token_ms_) exchange_->note("ttft_ms", *first_token_ms_);
}

std::optional<ApiError> Generation::submit(http::Exchange& exchange, engine::Engine& engine,
                                           std::vector<engine::Request> requests,
                                           std::unique_ptr<Generation>& out) {
  std::unique_ptr<Generation> generation(new Generation(exchange));
  for (size_t begin = 0; begin < requests.size();) {
    const std::string share = requests[begin].share;
    const size_t n_prompt = requests[begin].prompt.size();
    generation->prompt_tokens_ += static_cast<int64_t>(n_prompt);
    std::vector<engine::Request> group;
    size_t end = begin;
    do {
      group.push_back(std::move(requests[end++]));
    } while (end < requests.size() && requests[end].prompt == group.front().prompt &&
             requests[end].adapters == group.front().adapters);
    auto streams = engine.submit_group(std::move(group));
    if (!streams.ok()) return submit_error(engine, share, n_prompt, streams.error());
    for (auto& stream : *streams) generation->streams_.push_back(std::move(stream));
    begin = end;
  }
  generation->active_ = generation->streams_.size();
  generation->shown_tokens_.resize(generation->streams_.size());
  out = std::move(generation);
  return std::nullopt;
}

void Generation::take_note(size_t index, const engine::Event& event) {
  const auto shown = static_cast<int64_t>(event.tokens.size());
  if (event.kind == engine::Event::Kind::kText) {
    shown_tokens_[index] += shown;
    completion_tokens_ += shown;
    if (!first_token_ms_ && shown > 0) {
      const auto since = std::chrono::steady_clock::now() - submitted_;
      first_token_ms_ = std::chrono::duration<double, std::milli>(since).count();
    }
  } else if (event.kind == engine::Event::Kind::kFinished) {
    // The usage also counts tokens that no event shows.
    completion_tokens_ += event.usage.completion_tokens - shown_tokens_[index];
  }
}

std::optional<Generation::Item> Generation::next() {
  while (active_ > 0) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_look_) {
      if (exchange_->client_gone()) return std::nullopt;
      next_look_ = now + kLook;
    }
    // One sequence: wait for it. Several: take turns, each waiting a little.
    const auto wait = active_ == 1 ? kLook : std::chrono::milliseconds(1);
    for (size_t i = 0; i < streams_.size(); ++i) {
      const size_t index = (turn_ + i) % streams_.size();
      if (!streams_[index]) continue;
      std::optional<engine::Event> event = streams_[index]->next(wait);
      if (!event) continue;
      turn_ = (index + 1) % streams_.size();
      take_note(index, *event);
      if (event->kind != engine::Event::Kind::kText) {
        streams_[index].reset();
        --active_;
      }
      return Item{index, std::move(*event)};
    }
  }
  return std::nullopt;
}

std::string token_bytes(const ServedModel& model, engine::TokenId id) {
  return model.tokenizer->contains(id) ? model.tokenizer->bytes(id, true) : std::string();
}

std::string token_text(const ServedModel& model, engine::TokenId id) {
  tokenizer::Utf8Stream utf8;
  std::string out;
  utf8.push(token_bytes(model, id), out);
  utf8.finish(out);
  return out;
}

double finite_logprob(float logprob) {
  // JSON has no infinity; clients compare, so a very low number keeps the order.
  constexpr double kLowest = -9999.0;
  return std::isfinite(logprob) ? static_cast<double>(logprob) : kLowest;
}

MaybeError read_stops(const Json& object, std::string_view path, std::vector<std::string>& out) {
  const Json* value = find_field(object, "stop");
  if (value == nullptr) return std::nullopt;
  const Json list = value->is_string() ? Json::array({*value}) : *value;
  const std::string name(path);
  if (list.size() > kMaxStops) {
    return field_error(
        path, "'" + name + "' must have at most " + std::to_string(kMaxStops) + " strings.");
  }
  for (const Json& item : list) {
    if (!item.is_string()) return field_error(path, "'" + name + "' must hold strings only.");
    const auto& text = item.get_ref<const std::string&>();
    if (text.size() > kMaxStopBytes) {
      return field_error(path, "'" + name + "' must hold strings of at most " +
                                   std::to_string(kMaxStopBytes) + " bytes.");
    }
    if (!text.empty()) out.push_back(text);
  }
  return std::nullopt;
}

uint64_t read_seed(const Json& object) {
  const Json* value = find_field(object, "seed");
  if (value == nullptr) return random_seed();
  if (value->is_number_unsigned()) return value->get<uint64_t>();
  int64_t whole = -1;
  if (!whole_number(*value, whole) || whole == -1) return random_seed();
  return static_cast<uint64_t>(whole);
}

MaybeError parse_body(const std::string& body, Json& out) {
  if (body.empty()) return ApiError{400, "missing request body", "", ""};
  auto parsed = parse_json(body);
  if (!parsed.ok()) {
    return from_error(parsed.error().with_context("The request body is not valid JSON"));
  }
  out = std::move(parsed).value();
  if (!out.is_object()) return ApiError{400, "The request body must be a JSON object.", "", ""};
  return std::nullopt;
}

}  // namespace quern::api
