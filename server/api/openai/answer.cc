// Both forms are built from the same pieces; only the containers differ.
#include "server/api/openai/answer.h"

#include <algorithm>
#include <numeric>

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
  double logprob = 0;  // of all tokens together, when asked for
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
    if (auto error = Generation::submit(exchange_, *plan_.common.model->engine,
                                        std::move(plan_.requests), generation_)) {
      if (error->n_context > 0) error->param = plan_.chat ? "messages" : "prompt";
      return fail(*error);
    }
    auto first = generation_->next();
    if (!first) return;  // the client has gone
    if (plan_.common.stream && first->event.kind != engine::Event::Kind::kFailed) {
      note_overflow({});
      http::Response head{200, "text/event-stream", "", headers_};
      head.headers.push_back({"cache-control", "no-cache"});
      return exchange_.stream(head, [&](const http::StreamWrite& write) {
        return stream_all(std::move(*first), write);
      });
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
    for (std::optional<Generation::Item> item = std::move(first); item;
         item = generation_->next()) {
      if (item->event.kind == engine::Event::Kind::kFailed) {
        return write_event(write, error_object(error_of(item->event)));
      }
      const bool begins = !choices_[item->index].begun;
      Piece piece = take(item->index, item->event);
      if (!write_piece(write, item->index, std::move(piece), begins)) return false;
    }
    return generation_->done() && write_end(write);
  }

  void send_whole(Generation::Item first) {
    for (std::optional<Generation::Item> item = std::move(first); item;
         item = generation_->next()) {
      if (item->event.kind == engine::Event::Kind::kFailed) return fail(error_of(item->event));
      Piece piece = take(item->index, item->event);
      Choice& choice = choices_[item->index];
      choice.text += piece.text;
      merge_logprobs(choice.logprobs, std::move(piece.logprobs));
    }
    if (generation_->done()) send_choices();
  }

  struct Piece {
    std::string text;
    Json logprobs;
  };

  // Tells in a header what was dropped so far.
  void note_overflow(const engine::Usage& usage) {
    const std::string text = overflow_header(plan_.common.dropped, usage);
    if (!text.empty()) headers_.push_back({"x-quern-context", text});
  }

  void put_overflow(Json& out, const engine::Usage& usage) const {
    Json report = overflow_object(plan_.common.dropped, usage);
    if (!report.is_null()) out["context_overflow"] = std::move(report);
  }

  // Notes an event of a choice; what it adds to the answer.
  Piece take(size_t index, const engine::Event& event) {
    Choice& choice = choices_[index];
    Piece piece;
    piece.logprobs = logprobs_of(index, event);
    if (!choice.begun && !plan_.echo.empty()) piece.text = plan_.echo[index];
    piece.text += event.text;
    for (const engine::TokenLogprob& token : event.logprobs) {
      choice.logprob += finite_logprob(token.logprob);
    }
    choice.begun = true;
    if (event.kind == engine::Event::Kind::kFinished) {
      choice.finished = true;
      choice.reason = event.reason;
      choice.usage = event.usage;
    }
    return piece;
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
      return Json{{"content", chat_logprobs(model, event.logprobs)}, {"refusal", nullptr}};
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
      total.shifts += usage.shifts;
      total.shifted_tokens += usage.shifted_tokens;
      // The choices of a prompt share it.
      if (static_cast<int64_t>(i) % plan_.best_of != 0) continue;
      total.prompt_tokens += usage.prompt_tokens;
      total.cached_tokens += usage.cached_tokens;
    }
    return total;
  }

  // Of each prompt's answers the n likeliest, the likeliest first; all in their order when none is
  // left out.
  std::vector<size_t> chosen() const {
    std::vector<size_t> out;
    const auto per_prompt = static_cast<size_t>(plan_.best_of);
    for (size_t begin = 0; begin < choices_.size(); begin += per_prompt) {
      std::vector<size_t> order(per_prompt);
      std::iota(order.begin(), order.end(), begin);
      if (plan_.best_of > plan_.common.n) {
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
          return choices_[a].logprob > choices_[b].logprob;
        });
        order.resize(static_cast<size_t>(plan_.common.n));
      }
      out.insert(out.end(), order.begin(), order.end());
    }
    return out;
  }

  void send_choices() {
    Json out = envelope(plan_.chat ? "chat.completion" : "text_completion");
    out["choices"] = Json::array();
    size_t index = 0;
    for (const size_t i : chosen()) {
      Json choice;
      choice["index"] = index++;
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
    put_overflow(out, total_usage());
    note_overflow(total_usage());
    exchange_.send({200, "application/json", dump_json(out), headers_});
  }

  static bool write_event(const http::StreamWrite& write, const Json& data) {
    return write("data: " + dump_json(data) + "\n\n");
  }

  // One chunk with one choice. `reason` is null before the end.
  bool write_chunk(const http::StreamWrite& write, size_t index, Json body, Json logprobs,
                   Json reason) const {
    Json out = envelope(plan_.chat ? "chat.completion.chunk" : "text_completion");
    Json choice;
    choice["index"] = index;
    choice[plan_.chat ? "delta" : "text"] = std::move(body);
    choice["logprobs"] = std::move(logprobs);
    const bool last = !reason.is_null();
    choice["finish_reason"] = std::move(reason);
    out["choices"] = Json::array({std::move(choice)});
    if (last) put_overflow(out, choices_[index].usage);
    if (plan_.common.include_usage) out["usage"] = nullptr;
    return write_event(write, out);
  }

  bool write_piece(const http::StreamWrite& write, size_t index, Piece piece, bool begins) const {
    const Choice& choice = choices_[index];
    if (plan_.chat && begins &&
        !write_chunk(write, index, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr)) {
      return false;
    }
    if (!piece.text.empty() || !piece.logprobs.is_null()) {
      Json body = plan_.chat ? Json{{"content", piece.text}} : Json(piece.text);
      if (!write_chunk(write, index, std::move(body), std::move(piece.logprobs), nullptr)) {
        return false;
      }
    }
    if (!choice.finished) return true;
    Json body = plan_.chat ? Json::object() : Json("");
    return write_chunk(write, index, std::move(body), nullptr, finish_reason(choice.reason));
  }

  bool write_end(const http::StreamWrite& write) const {
    if (plan_.common.include_usage) {
      Json out = envelope(plan_.chat ? "chat.completion.chunk" : "text_completion");
      out["choices"] = Json::array();
      out["usage"] = usage_object(total_usage());
      if (!write_event(write, out)) return false;
    }
    return write("data: [DONE]\n\n");
  }

  void fail(const ApiError& error) { exchange_.send(error_response(error)); }

  http::Exchange& exchange_;
  AnswerPlan plan_;
  std::string id_;
  int64_t created_;
  std::vector<Choice> choices_;
  std::vector<LegacyLogprobs> legacy_;
  http::Headers headers_;
  std::unique_ptr<Generation> generation_;
};

}  // namespace

void answer(http::Exchange& exchange, AnswerPlan plan) { Answer(exchange, std::move(plan)).run(); }

void add_choices(AnswerPlan& plan, const engine::Request& prototype,
                 const std::string& request_id) {
  plan.best_of = std::max(plan.best_of, plan.common.n);
  for (int64_t i = 0; i < plan.best_of; ++i) {
    engine::Request request = prototype;
    request.share = plan.common.origin.share;
    request.deadline = plan.common.origin.deadline;
    request.priority = plan.common.priority;
    // What to choose by.
    if (plan.best_of > plan.common.n && !request.top_logprobs) request.top_logprobs = 0;
    request.id = request_id + "-" + std::to_string(plan.requests.size());
    request.adapters = plan.common.adapters;
    request.sampling = plan.common.sampling;
    request.sampling.seed += static_cast<uint64_t>(i);
    request.stop = plan.common.stop;
    request.constraint = plan.common.constraint;
    set_shift(*plan.common.model, plan.common.overflow, request);
    plan.requests.push_back(std::move(request));
  }
}

}  // namespace quern::api::openai
