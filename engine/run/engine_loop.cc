// Inbox, thread, shutdown: see engine_loop.h.
#include "engine/run/engine_loop.h"

#include <new>
#include <string>
#include <system_error>
#include <utility>

namespace quern::engine {
namespace {

using Clock = std::chrono::steady_clock;

class QueueStream final : public Stream {
 public:
  explicit QueueStream(std::shared_ptr<EventQueue> events) : events_(std::move(events)) {}
  ~QueueStream() override { events_->cancel(); }
  QueueStream(const QueueStream&) = delete;
  QueueStream& operator=(const QueueStream&) = delete;

  std::optional<Event> next(std::chrono::milliseconds timeout) override {
    return events_->next(timeout);
  }
  void cancel() override { events_->cancel(); }

 private:
  std::shared_ptr<EventQueue> events_;
};

Error shutting_down() {
  return Error(ErrorKind::kBusy, "the server is shutting down; retry later or elsewhere");
}

}  // namespace

EngineLoop::EngineLoop(std::unique_ptr<StepRunner> runner, const tokenizer::Tokenizer& tokenizer,
                       const LoopOptions& options)
    : options_(options),
      tokenizer_(&tokenizer),
      runner_(std::move(runner)),
      core_(*runner_, options.budget, options.limits.n_vocab) {
  stats_.kv_pages_total = options.budget.n_pages;
}

Result<std::unique_ptr<EngineLoop>> EngineLoop::start(std::unique_ptr<StepRunner> runner,
                                                      const tokenizer::Tokenizer& tokenizer,
                                                      const LoopOptions& options) {
  try {
    std::unique_ptr<EngineLoop> loop(new EngineLoop(std::move(runner), tokenizer, options));
    loop->thread_ = std::thread([raw = loop.get()] { raw->run(); });
    return loop;
  } catch (const std::bad_alloc&) {
    const uint64_t bytes = static_cast<uint64_t>(options.budget.max_step_outputs) *
                           static_cast<uint64_t>(options.limits.n_vocab) * sizeof(float);
    return Error(ErrorKind::kOutOfMemory, "the engine needs " + std::to_string(bytes) +
                                              " bytes for logits, which the machine cannot give; "
                                              "lower the number of parallel sequences");
  } catch (const std::system_error&) {
    return Error(ErrorKind::kOutOfMemory,
                 "the system refused to start the engine thread; raise the limit of processes");
  }
}

EngineLoop::~EngineLoop() {
  {
    const std::lock_guard lock(mutex_);
    refusal_ = shutting_down();
    deadline_ = Clock::time_point::min();
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<std::unique_ptr<Stream>> EngineLoop::submit(Request request) {
  QUERN_RETURN_IF_ERROR(validate_request(request, options_.limits));
  auto events = std::make_shared<EventQueue>(options_.max_pending_bytes);
  auto stream = std::make_unique<QueueStream>(events);
  // Built here, so that a request with long stop strings costs its own thread.
  auto sequence = std::make_unique<Sequence>(std::move(request), *tokenizer_,
                                             options_.limits.context_tokens, Clock::now());
  {
    const std::lock_guard lock(mutex_);
    if (refusal_) return *refusal_;
    const auto unstarted = static_cast<int64_t>(inbox_.size()) + stats_.queued;
    const int64_t slots = options_.budget.max_running - stats_.running;
    if (unstarted >= options_.max_queued + slots) {
      return Error(ErrorKind::kBusy, std::to_string(unstarted) +
                                         " requests are waiting already, which is the limit; "
                                         "retry later");
    }
    inbox_.push_back({std::move(sequence), std::move(events)});
    ++stats_.requests_accepted;
  }
  wake_.notify_one();
  return std::unique_ptr<Stream>(std::move(stream));
}

EngineStats EngineLoop::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void EngineLoop::drain(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  if (!refusal_) refusal_ = shutting_down();
  deadline_ = deadline;
  wake_.notify_all();
  empty_.wait(lock, [this] { return inbox_.empty() && core_idle_; });
}

void EngineLoop::run() {
  while (turn()) {
  }
}

bool EngineLoop::turn() {
  std::vector<Submission> arrived;
  bool expired = false;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stop_ || !inbox_.empty() || !core_idle_; });
    if (stop_ && inbox_.empty() && core_idle_) return false;
    arrived.swap(inbox_);
    core_idle_ = false;  // what arrived counts as the core's from here on
    expired = deadline_ && Clock::now() >= *deadline_;
  }
  for (Submission& submission : arrived) core_.accept(std::move(submission));
  if (expired) core_.fail_all(shutting_down());
  if (core_.broken()) core_.fail_all(*core_.broken());
  core_.step();
  publish_stats();
  return true;
}

void EngineLoop::publish_stats() {
  const CoreCounters& counters = core_.counters();
  const Scheduler& scheduler = core_.scheduler();
  {
    const std::lock_guard lock(mutex_);
    stats_.running = scheduler.n_running();
    stats_.queued = scheduler.n_waiting();
    stats_.kv_pages_used = scheduler.n_pages_used();
    stats_.requests_finished = counters.finished;
    stats_.requests_failed = counters.failed;
    stats_.requests_cancelled = counters.cancelled;
    stats_.prompt_tokens = counters.prompt_tokens;
    stats_.completion_tokens = counters.completion_tokens;
    stats_.steps = counters.steps;
    stats_.preemptions = counters.preemptions;
    if (core_.broken() && !refusal_) refusal_ = core_.broken();
    core_idle_ = core_.idle();
  }
  if (core_.idle()) empty_.notify_all();
}

}  // namespace quern::engine
