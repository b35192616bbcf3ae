// See answer.h. As with the other dialect, an error before the first event is a plain HTTP error;
// later it is a line {"error": ...}, which clients raise.
#include "server/api/ollama/answer.h"

#include "server/api/generation.h"
#include "server/api/ids.h"

namespace quern::api::ollama {
namespace {

void put_text(Json& out, bool chat, const std::string& text) {
  if (chat) {
    out["message"] = {{"role", "assistant"}, {"content", text}};
  } else {
    out["response"] = text;
  }
}

Json logprob_entry(const ServedModel& model, engine::TokenId id, float logprob) {
  Json out;
  out["token"] = token_text(model, id);
  out["logprob"] = finite_logprob(logprob);
  out["bytes"] = Json::array();
  for (const char c : token_bytes(model, id)) {
    out["bytes"].push_back(static_cast<int>(static_cast<unsigned char>(c)));
  }
  return out;
}

// Zero is left out, as clients expect.
void put_count(Json& out, const char* name, int64_t value) {
  if (value != 0) out[name] = value;
}

class Answer {
 public:
  Answer(http::Exchange& exchange, AnswerPlan plan)
      : exchange_(exchange), plan_(std::move(plan)), model_(*plan_.common.model) {}

  void run() {
    headers_.push_back({"x-quern-seed", std::to_string(plan_.common.sampling.seed)});
    const std::string unused = joined_names(plan_.common.unused);
    if (!unused.empty()) headers_.push_back({"x-quern-ignored", unused});
    if (plan_.with_context) context_ = plan_.request.prompt;
    std::vector<engine::Request> requests;
    set_shift(model_, plan_.common.overflow, plan_.request);
    requests.push_back(std::move(plan_.request));
    if (const auto error =
            Generation::submit(exchange_, *model_.engine, std::move(requests), generation_)) {
      return fail(*error);
    }
    auto first = generation_->next();
    if (!first) return;  // the client has gone
    if (plan_.common.stream && first->event.kind != engine::Event::Kind::kFailed) {
      note_overflow({});
      return exchange_.stream(
          {200, "application/x-ndjson", "", headers_},
          [&](const http::StreamWrite& write) { return stream_all(std::move(*first), write); });
    }
    send_whole(std::move(*first));
  }

 private:
  static ApiError error_of(const engine::Event& event) {
    return from_error(event.error.value_or(
        Error(ErrorKind::kInternal, "The request failed for an unknown reason.")));
  }

  // The body of a streamed answer, from its first event on. True when it is whole.
  bool stream_all(Generation::Item first, const http::StreamWrite& write) {
    const auto write_line = [&](const Json& line) { return write(dump_json(line) + "\n"); };
    for (std::optional<Generation::Item> item = std::move(first); item;
         item = generation_->next()) {
      const engine::Event& event = item->event;
      if (event.kind == engine::Event::Kind::kFailed) {
        return write_line(Json{{"error", error_of(event).message}});
      }
      Json logprobs = take(event);
      if (!event.text.empty() || !logprobs.empty()) {
        Json line = update(event.text, false);
        if (!logprobs.empty()) line["logprobs"] = std::move(logprobs);
        if (!write_line(line)) return false;
      }
      if (event.kind == engine::Event::Kind::kFinished) return write_line(final_object(event, ""));
    }
    return false;
  }

  void send_whole(Generation::Item first) {
    std::string text;
    Json all_logprobs = Json::array();
    for (std::optional<Generation::Item> item = std::move(first); item;
         item = generation_->next()) {
      const engine::Event& event = item->event;
      if (event.kind == engine::Event::Kind::kFailed) return fail(error_of(event));
      text += event.text;
      for (Json& entry : take(event)) all_logprobs.push_back(std::move(entry));
      if (event.kind != engine::Event::Kind::kFinished) continue;
      Json whole = final_object(event, text);
      if (!all_logprobs.empty()) whole["logprobs"] = std::move(all_logprobs);
      note_overflow(event.usage);
      return exchange_.send({200, "application/json; charset=utf-8", dump_json(whole), headers_});
    }
  }

  // Tells in a header what was dropped so far.
  void note_overflow(const engine::Usage& usage) {
    const std::string text = overflow_header(plan_.dropped, usage);
    if (!text.empty()) headers_.push_back({"x-quern-context", text});
  }

  // Notes the tokens of an event; its logprobs, as far as they are wanted.
  Json take(const engine::Event& event) {
    if (plan_.with_context) {
      context_.insert(context_.end(), event.tokens.begin(), event.tokens.end());
    }
    Json logprobs = Json::array();
    if (plan_.common.top_logprobs) add_logprobs(event, logprobs);
    return logprobs;
  }

  void add_logprobs(const engine::Event& event, Json& out) const {
    for (const engine::TokenLogprob& item : event.logprobs) {
      Json entry = logprob_entry(model_, item.token, item.logprob);
      if (!item.top.empty()) {
        entry["top_logprobs"] = Json::array();
        for (const auto& [id, logprob] : item.top) {
          entry["top_logprobs"].push_back(logprob_entry(model_, id, logprob));
        }
      }
      out.push_back(std::move(entry));
    }
  }

  Json update(const std::string& text, bool done) const {
    Json out;
    out["model"] = plan_.common.model_name;
    out["created_at"] = rfc3339_now();
    put_text(out, plan_.chat, text);
    out["done"] = done;
    return out;
  }

  Json final_object(const engine::Event& event, const std::string& text) const {
    Json out = update(text, true);
    out["done_reason"] = event.reason == engine::FinishReason::kLength ? "length" : "stop";
    if (plan_.with_context) out["context"] = context_;
    const int64_t load_ns = plan_.common.load_ns;
    put_count(out, "total_duration", event.timings.total_ns + load_ns);
    put_count(out, "load_duration", event.timings.queue_ns + load_ns);
    put_count(out, "prompt_eval_count", event.usage.prompt_tokens);
    put_count(out, "prompt_eval_duration", event.timings.prefill_ns);
    put_count(out, "eval_count", event.usage.completion_tokens);
    put_count(out, "eval_duration", event.timings.decode_ns);
    Json report = overflow_object(plan_.dropped, event.usage);
    if (!report.is_null()) out["context_overflow"] = std::move(report);
    return out;
  }

  void fail(const ApiError& error) { exchange_.send(error_response(error)); }

  http::Exchange& exchange_;
  AnswerPlan plan_;
  const ServedModel& model_;
  http::Headers headers_;
  std::unique_ptr<Generation> generation_;
  std::vector<engine::TokenId> context_;
};

}  // namespace

void answer(http::Exchange& exchange, AnswerPlan plan) { Answer(exchange, std::move(plan)).run(); }

void answer_empty(const Catalogue& catalogue, http::Exchange& exchange, CommonRequest common,
                  bool chat) {
  const bool unload = common.keep_alive == engine::KeepAlive(0);
  if (unload) {
    catalogue.unload(common.index);
  } else if (const MaybeError error = acquire_model(catalogue, common.index, common.keep_alive,
                                                    common.origin, exchange, common.lease)) {
    return exchange.send(error_response(*error));
  }
  Json out;
  out["model"] = common.model_name;
  out["created_at"] = rfc3339_now();
  put_text(out, chat, "");
  out["done"] = true;
  out["done_reason"] = unload ? "unload" : "load";
  exchange.send({200, "application/json; charset=utf-8", dump_json(out), {}});
}

}  // namespace quern::api::ollama
