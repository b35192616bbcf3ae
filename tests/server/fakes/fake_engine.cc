// See fake_engine.h.
#include "tests/server/fakes/fake_engine.h"

#include <algorithm>
#include <cstdio>
#include <thread>

#include "config/base/check.h"
#include "models/tokenizer/vocab_data.h"

namespace quern::tests {
namespace {

using engine::Event;
using Clock = std::chrono::steady_clock;

constexpr engine::TokenId kFirstByte = 3;

class FakeStream final : public engine::Stream {
 public:
  FakeStream(const engine::Request& request, FakeBehaviour behaviour,
             std::shared_ptr<std::atomic<int>> alive)
      : request_(request), behaviour_(std::move(behaviour)), alive_(std::move(alive)) {
    alive_->fetch_add(1);
    ready_ = Clock::now() + behaviour_.before_first;
    limit_ = request_.max_tokens < 0
                 ? behaviour_.answer.size()
                 : std::min(behaviour_.answer.size(), static_cast<size_t>(request_.max_tokens));
  }
  ~FakeStream() override { alive_->fetch_sub(1); }

  std::optional<Event> next(std::chrono::milliseconds timeout) override {
    const auto now = Clock::now();
    if (now + timeout < ready_) {
      std::this_thread::sleep_for(timeout);
      return std::nullopt;
    }
    std::this_thread::sleep_until(ready_);
    ready_ = Clock::now() + behaviour_.between_tokens;
    if (at_ == static_cast<size_t>(behaviour_.fail_after_tokens)) return failed();
    return at_ < limit_ ? text() : finished();
  }
  void cancel() override {}

 private:
  static Event failed() {
    Event event;
    event.kind = Event::Kind::kFailed;
    event.error = Error(ErrorKind::kInternal, "The fake engine fails on purpose.");
    return event;
  }

  Event text() {
    Event event;
    const char c = behaviour_.answer[at_++];
    event.text = std::string(1, c);
    event.tokens = {byte_token(c)};
    if (request_.top_logprobs) {
      const float extra =
          behaviour_.logprob_per_seed * static_cast<float>(request_.sampling.seed % 1000);
      engine::TokenLogprob logprob{byte_token(c), -0.5F + extra, {}};
      for (int i = 0; i < *request_.top_logprobs; ++i) {
        logprob.top.emplace_back(byte_token(static_cast<char>('a' + i)),
                                 -0.5F - static_cast<float>(i));
      }
      event.logprobs = {logprob};
    }
    if (at_ == 1 && request_.prompt_logprobs) {
      for (size_t i = 1; i < request_.prompt.size(); ++i) {
        event.prompt_logprobs.push_back({request_.prompt[i], -1.0F, {}});
      }
    }
    return event;
  }

  Event finished() const {
    Event event;
    event.kind = Event::Kind::kFinished;
    event.reason = limit_ < behaviour_.answer.size() ? engine::FinishReason::kLength
                                                     : engine::FinishReason::kStop;
    event.usage = {static_cast<int64_t>(request_.prompt.size()), 0, static_cast<int64_t>(at_)};
    event.timings = {1000, 2000, 3000, 6000};
    return event;
  }

  engine::Request request_;
  FakeBehaviour behaviour_;
  std::shared_ptr<std::atomic<int>> alive_;
  Clock::time_point ready_;
  size_t at_ = 0;
  size_t limit_ = 0;
};

std::string byte_name(int byte) {
  char text[8];
  std::snprintf(text, sizeof(text), "<0x%02X>", byte);
  return text;
}

constexpr std::string_view kTemplate =
    "{% for m in messages %}{{ '<s>' if loop.first else '' }}[{{ m.role }}]{{ m.content }}</s>"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

}  // namespace

engine::TokenId byte_token(char c) { return kFirstByte + static_cast<unsigned char>(c); }

Result<std::vector<std::unique_ptr<engine::Stream>>> FakeEngine::submit_group(
    std::vector<engine::Request> requests) {
  std::vector<std::unique_ptr<engine::Stream>> streams;
  for (engine::Request& request : requests) {
    QUERN_ASSIGN_OR_RETURN(auto stream, submit(std::move(request)));
    streams.push_back(std::move(stream));
  }
  ++groups_;
  return streams;
}

bool FakeEngine::share_is_full(std::string_view) const {
  const std::lock_guard lock(mutex_);
  return behaviour_.share_full;
}

Result<std::unique_ptr<engine::Stream>> FakeEngine::submit(engine::Request request) {
  const std::lock_guard lock(mutex_);
  if (behaviour_.busy) {
    return Error(ErrorKind::kBusy, "The queue is full; try again shortly.");
  }
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  if (n_prompt + 1 > behaviour_.context_tokens) {
    return Error(ErrorKind::kContextOverflow, "The prompt has " + std::to_string(n_prompt) +
                                                  " tokens, the context holds " +
                                                  std::to_string(behaviour_.context_tokens) + ".");
  }
  requests_.push_back(request);
  return std::unique_ptr<engine::Stream>(std::make_unique<FakeStream>(request, behaviour_, alive_));
}

engine::EngineStats FakeEngine::stats() const {
  engine::EngineStats stats;
  stats.running = alive();
  const std::lock_guard lock(mutex_);
  stats.requests_accepted = requests_.size();
  stats.predicted_wait_ms = behaviour_.wait_ms;
  stats.speculation = behaviour_.speculation;
  return stats;
}

const loader::Model& FakeEngine::model() const {
  CHECK(false);
  static const loader::Model* const kNone = nullptr;
  return *kNone;
}

void FakeEngine::drain(Clock::time_point deadline) {
  while (alive() > 0 && Clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void FakeEngine::set(FakeBehaviour behaviour) {
  const std::lock_guard lock(mutex_);
  behaviour_ = std::move(behaviour);
}

std::vector<engine::Request> FakeEngine::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FakeEngine::forget() {
  const std::lock_guard lock(mutex_);
  requests_.clear();
}

bool FakeEngine::wait_until_idle(std::chrono::milliseconds timeout) const {
  const auto deadline = Clock::now() + timeout;
  while (alive() > 0) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

FakeModel::FakeModel(FakeBehaviour behaviour) : engine(std::move(behaviour)) {
  tokenizer::VocabData data;
  data.family = tokenizer::Family::kSentencePiece;
  data.model_name = "llama";
  data.tokens = {"<unk>", "<s>", "</s>"};
  data.types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    data.tokens.push_back(byte_name(byte));
    data.types.push_back(6);
  }
  data.scores.assign(data.tokens.size(), 0.0F);
  data.unk = 0;
  data.bos = 1;
  data.eos = 2;
  data.add_bos = true;
  auto made = tokenizer::Tokenizer::from_data(std::move(data));
  CHECK(made.ok());
  tokenizer = std::move(made).value();
  auto parsed = chat::ChatTemplate::parse(std::string(kTemplate));
  CHECK(parsed.ok());
  chat_template = std::move(parsed).value();
}

api::ServedModel FakeModel::served() {
  api::ServedModel out;
  out.grammars = std::make_shared<grammar::GrammarStore>(*tokenizer);
  out.id = "tiny";
  out.aliases = {"tiny-model:q4"};
  out.adapters = {{"sql", "sql.gguf", 1, 100, 1700000001},
                  {"Pirate", "pirate.gguf", 0.5F, 200, 1700000002}};
  out.engine = &engine;
  out.tokenizer = tokenizer.get();
  out.chat_template = chat_template.get();
  out.has_own_template = true;
  out.facts.name = "Tiny";
  out.facts.architecture = "llama";
  out.facts.recipe = "F32";
  out.facts.n_parameters = 1234567;
  out.facts.file_bytes = 4321;
  out.facts.n_vocab = tokenizer->vocab_size();
  out.facts.context_length = 512;
  out.model_info = {{"general.architecture", "llama"}, {"llama.context_length", 512}};
  out.digest = std::string(64, 'a');
  out.modified_unix_s = 1700000000;
  return out;
}

}  // namespace quern::tests
