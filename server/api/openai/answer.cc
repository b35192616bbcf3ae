// Both forms are built from the same pieces; only the containers differ.
#include "server/api/openai/answer.h"

#include "server/api/generation.h"
#include "server/api/ids.h"

namespace quern::api::openai {
namespace {

// What has been gathered for one choice.
struct Choice {
  std::string text;
  Json logprobs;
  bool begun = false;
  bool finished = false;
  engine::FinishReason reason = engine::FinishReason::kStop;
  engine::Usage usage;
};

class Answer {
 public:
  Answer(http::Exchange& exchange, AnswerPlan plan)
      : exchange_(exchange),
        plan_(std::move(plan)),
        id_(random_id(plan_.chat ? "chatcmpl-" : "cmpl-")),
        created_(unix_seconds()),
        choices_(plan_.requests.size()) {
    for (size_t i = 0; i < choices_.size(); ++i) {
      legacy_.emplace_back(*plan_.common.model, plan_.top_logprobs);
    }
  }

  void run() {
    const std::string seed = std::to_string(plan_.common.sampling.seed);
    headers_.push_back({"x-quern-seed", seed});
    const std::string unused = joined_names(plan_.common.unused);
    if (!unused.empty()) headers_.push_back({"x-quern-ignored", unused});
    auto generation = Generation::submit(*plan_.common.model->engine, std::move(plan_.requests));
    if (!generation.ok()) return fail(from_error(generation.error()));
    while (auto item = (*generation)->next(exchange_)) {
      if (item->event.kind == engine::Event::Kind::kFailed) {
        return fail(from_error(item->event.error.value_or(
            Error(ErrorKind::kInternal, "The request failed for an unknown reason."))));
      }
      if (!take(item->index, item->event)) return;
    }
    if (!(*generation)->done()) return;  // the client has gone
    plan_.common.stream ? end_stream() : send_whole();
  }

 private:
  bool take(size_t index, const engine::Event& event) {
    Choice& choice = choices_[index];
    Json logprobs = logprobs_of(index, event);
    std::string text;
    if (!choice.begun && !plan_.echo.empty()) text = plan_.echo[index];
    text += event.text;
    const bool first = !choice.begun;
    choice.begun = true;
    if (event.kind == engine::Event::Kind::kFinished) {
      choice.finished = true;
      choice.reason = event.reason;
      choice.usage = event.usage;
    }
    if (plan_.common.stream) return stream_piece(index, text, std::move(logprobs), first);
    choice.text += text;
    merge_logprobs(choice.logprobs, std::move(logprobs));
    return true;
  }

  static void merge_logprobs(Json& all, Json piece) {
    if (piece.is_null()) return;
    if (all.is_null()) {
      all = std::move(piece);
      return;
    }
    for (auto& [name, list] : piece.items()) {
      for (Json& item : list) all[name].push_back(std::move(item));
    }
  }

  // The logprobs object of one piece, or null.
  Json logprobs_of(size_t index, const engine::Event& event) {
    if (!plan_.logprobs) return nullptr;
    const ServedModel& model = *plan_.common.model;
    if (plan_.chat) {
      if (event.logprobs.empty()) return nullptr;
      return Json{{"content", chat_logprobs(model, event.logprobs)}};
    }
    Json out = LegacyLogprobs::empty();
    if (!plan_.echo_tokens.empty() && !event.prompt_logprobs.empty()) {
      const std::vector<engine::TokenId>& prompt = plan_.echo_tokens[index];
      legacy_[index].append(out, prompt.front(), nullptr);
      for (const engine::TokenLogprob& item : event.prompt_logprobs) {
        legacy_[index].append(out, item.token, &item);
      }
    }
    for (const engine::TokenLogprob& item : event.logprobs) {
      legacy_[index].append(out, item.token, &item);
    }
    return out["tokens"].empty() ? Json() : out;
  }

  Json envelope(std::string_view object) const {
    Json out;
    out["id"] = id_;
    out["object"] = object;
    out["created"] = created_;
    out["model"] = plan_.common.model_name;
    out["system_fingerprint"] = plan_.fingerprint;
    return out;
  }

  engine::Usage total_usage() const {
    engine::Usage total;
    for (size_t i = 0; i < choices_.size(); ++i) {
      const engine::Usage& usage = choices_[i].usage;
      total.completion_tokens += usage.completion_tokens;
      // The n choices of a prompt share it.
      if (static_cast<int64_t>(i) % plan_.common.n != 0) continue;
      total.prompt_tokens += usage.prompt_tokens;
      total.cached_tokens += usage.cached_tokens;
    }
    return total;
  }

  void send_whole() {
    Json out = envelope(plan_.chat ? "chat.completion" : "text_completion");
    out["choices"] = Json::array();
    for (size_t i = 0; i < choices_.size(); ++i) {
      Json choice;
      choice["index"] = i;
      if (plan_.chat) {
        choice["message"] = {
            {"role", "assistant"}, {"content", choices_[i].text}, {"refusal", nullptr}};
      } else {
        choice["text"] = choices_[i].text;
      }
      choice["logprobs"] = choices_[i].logprobs;
      choice["finish_reason"] = finish_reason(choices_[i].reason);
      out["choices"].push_back(std::move(choice));
    }
    out["usage"] = usage_object(total_usage());
    exchange_.send({200, "application/json", dump_json(out), headers_});
  }

  // One chunk with one choice. `reason` is null before the end.
  bool send_chunk(size_t index, Json body, Json logprobs, Json reason) {
    Json out = envelope(plan_.chat ? "chat.completion.chunk" : "text_completion");
    Json choice;
    choice["index"] = index;
    choice[plan_.chat ? "delta" : "text"] = std::move(body);
    choice["logprobs"] = std::move(logprobs);
    choice["finish_reason"] = std::move(reason);
    out["choices"] = Json::array({std::move(choice)});
    if (plan_.common.include_usage) out["usage"] = nullptr;
    return send_event(out);
  }

  bool send_event(const Json& data) { return exchange_.write("data: " + dump_json(data) + "\n\n"); }

  bool open_stream() {
    if (open_) return true;
    open_ = true;
    http::Response head{200, "text/event-stream", "", headers_};
    head.headers.push_back({"cache-control", "no-cache"});
    return exchange_.begin_stream(head);
  }

  bool stream_piece(size_t index, const std::string& text, Json logprobs, bool first) {
    if (!open_stream()) return false;
    const Choice& choice = choices_[index];
    if (plan_.chat && first &&
        !send_chunk(index, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr)) {
      return false;
    }
    if (!text.empty() || !logprobs.is_null()) {
      Json body = plan_.chat ? Json{{"content", text}} : Json(text);
      if (!send_chunk(index, std::move(body), std::move(logprobs), nullptr)) return false;
    }
    if (!choice.finished) return true;
    Json body = plan_.chat ? Json::object() : Json("");
    return send_chunk(index, std::move(body), nullptr, finish_reason(choice.reason));
  }

  void end_stream() {
    if (plan_.common.include_usage) {
      Json out = envelope(plan_.chat ? "chat.completion.chunk" : "text_completion");
      out["choices"] = Json::array();
      out["usage"] = usage_object(total_usage());
      if (!send_event(out)) return;
    }
    if (exchange_.write("data: [DONE]\n\n")) exchange_.end_stream();
  }

  void fail(const ApiError& error) {
    if (!open_) {
      exchange_.send(error_response(error));
      return;
    }
    if (send_event(error_object(error))) exchange_.end_stream();
  }

  http::Exchange& exchange_;
  AnswerPlan plan_;
  std::string id_;
  int64_t created_;
  std::vector<Choice> choices_;
  std::vector<LegacyLogprobs> legacy_;
  http::Headers headers_;
  bool open_ = false;
};

}  // namespace

void answer(http::Exchange& exchange, AnswerPlan plan) { Answer(exchange, std::move(plan)).run(); }

void add_choices(AnswerPlan& plan, const engine::Request& prototype,
                 const std::string& request_id) {
  for (int64_t i = 0; i < plan.common.n; ++i) {
    engine::Request request = prototype;
    request.id = request_id + "-" + std::to_string(plan.requests.size());
    request.sampling = plan.common.sampling;
    request.sampling.seed += static_cast<uint64_t>(i);
    request.stop = plan.common.stop;
    plan.requests.push_back(std::move(request));
  }
}

}  // namespace quern::api::openai
