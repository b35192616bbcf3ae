// Inbox, thread, shutdown: see engine_loop.h.
#include "engine/run/engine_loop.h"

#include <bit>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "config/base/check.h"

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

// How often to look for clients that left while the disk reads.
constexpr auto kDiskLook = std::chrono::milliseconds(5);

Error shutting_down() {
  return Error(ErrorKind::kBusy, "the server is shutting down; retry later or elsewhere");
}

}  // namespace

EngineLoop::EngineLoop(std::unique_ptr<StepRunner> runner, const tokenizer::Tokenizer& tokenizer,
                       const LoopOptions& options, std::unique_ptr<StoreWorker> store,
                       std::unique_ptr<Speculator> speculator)
    : options_(options),
      tokenizer_(&tokenizer),
      runner_(std::move(runner)),
      store_(std::move(store)),
      speculator_(std::move(speculator)),
      core_(*runner_, options.budget, options.limits.n_vocab,
            {store_.get(), speculator_.get(), options_.turn.get()}) {
  stats_.kv_pages_total = options.budget.n_pages;
  stats_.kv_page_bytes = options.kv_page_bytes;
  stats_.draft_kv_bytes = options.draft_kv_bytes;
}

Result<std::unique_ptr<EngineLoop>> EngineLoop::start(std::unique_ptr<StepRunner> runner,
                                                      const tokenizer::Tokenizer& tokenizer,
                                                      const LoopOptions& options,
                                                      std::unique_ptr<StoreWorker> store,
                                                      std::unique_ptr<Speculator> speculator) {
  try {
    std::unique_ptr<EngineLoop> loop(new EngineLoop(std::move(runner), tokenizer, options,
                                                    std::move(store), std::move(speculator)));
    if (loop->store_) {
      loop->store_->on_loaded([raw = loop.get()] {
        {
          const std::lock_guard lock(raw->mutex_);
          raw->loaded_ = true;
        }
        raw->wake_.notify_all();
      });
    }
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
  core_.save_all();
  store_.reset();  // its thread may still call back until here
}

Result<std::unique_ptr<Stream>> EngineLoop::submit(Request request) {
  std::vector<Request> one;
  one.push_back(std::move(request));
  QUERN_ASSIGN_OR_RETURN(auto streams, submit_group(std::move(one)));
  return std::move(streams.front());
}

Result<std::vector<std::unique_ptr<Stream>>> EngineLoop::submit_group(
    std::vector<Request> requests) {
  CHECK(!requests.empty());
  for (Request& request : requests) {
    QUERN_RETURN_IF_ERROR(validate_request(request, options_.limits));
    // What adds nothing is not there: its prompts are those without it.
    std::erase_if(request.adapters, [](const AdapterUse& use) { return use.scale == 0; });
    CHECK(request.prompt == requests.front().prompt && request.share == requests.front().share &&
          request.adapters == requests.front().adapters &&
          request.prompt_logprobs == requests.front().prompt_logprobs);
  }
  const auto n_sequences = static_cast<int64_t>(requests.size());
  Request admission;  // what is looked at once the sequences have taken the rest
  admission.share = requests.front().share;
  admission.deadline = requests.front().deadline;
  std::vector<std::unique_ptr<Stream>> streams;
  Submission group;
  std::vector<Digest> names = page_names(requests.front());
  for (Request& request : requests) {
    auto events = std::make_shared<EventQueue>(options_.max_pending_bytes);
    streams.push_back(std::make_unique<QueueStream>(events));
    // Built here, so that a request with long stop strings costs its own thread.
    auto sequence = std::make_unique<Sequence>(std::move(request), *tokenizer_,
                                               options_.limits.context_tokens, Clock::now());
    Submission one{std::move(sequence), std::move(events), {}};
    if (streams.size() == 1) {
      group = std::move(one);
    } else {
      group.siblings.push_back(std::move(one));
    }
  }
  group.page_names = std::move(names);
  {
    const std::lock_guard lock(mutex_);
    QUERN_RETURN_IF_ERROR(check_room(admission, n_sequences));
    inbox_.push_back(std::move(group));
    n_unpublished_ += n_sequences;
    waiting_by_share_[admission.share] += static_cast<int32_t>(n_sequences);
    stats_.requests_accepted += static_cast<uint64_t>(n_sequences);
  }
  wake_.notify_one();
  return streams;
}

// Of the prompt's whole pages on disk; empty where it is not to be kept there.
std::vector<Digest> EngineLoop::page_names(const Request& request) const {
  if (!store_) return {};
  std::string adapters;
  for (const AdapterUse& use : request.adapters) {
    const auto index = static_cast<size_t>(use.adapter);
    if (index >= options_.adapter_digests.size() || !options_.adapter_digests[index]) return {};
    const Digest& digest = *options_.adapter_digests[index];
    adapters += to_hex(digest) + ":" + std::to_string(std::bit_cast<uint32_t>(use.scale)) + ";";
  }
  return store_->names(request.share, request.prompt, adapters);
}

// Precondition: mutex_ is held.
Status EngineLoop::check_room(const Request& request, int64_t n_sequences) const {
  if (refusal_) return *refusal_;
  const int64_t unstarted = n_unpublished_ + stats_.queued;
  const int64_t slots = options_.budget.max_running - stats_.running;
  // A group that is larger than the whole queue still runs when nothing waits.
  if (unstarted > 0 && unstarted + n_sequences > options_.max_queued + slots) {
    return Error(ErrorKind::kBusy, std::to_string(unstarted) +
                                       " requests are waiting already, which is the limit; "
                                       "retry later");
  }
  if (unstarted == 0 && options_.max_queued + slots < 1) {
    return Error(ErrorKind::kBusy, "all places are taken and none may wait; retry later");
  }
  // Who need not wait is not kept from running by those who were taken a moment ago.
  if (unstarted + n_sequences > slots && share_is_full_locked(request.share)) {
    return Error(ErrorKind::kBusy, "this API key has " +
                                       std::to_string(options_.max_queued_per_share) +
                                       " requests waiting already, which is its limit; retry when "
                                       "some are answered");
  }
  const auto wait = std::chrono::duration<double, std::milli>(stats_.predicted_wait_ms);
  if (request.deadline && Clock::now() + wait > *request.deadline) {
    return Error(ErrorKind::kBusy, "the request would wait longer than its time allows, about " +
                                       std::to_string(static_cast<int64_t>(wait.count() / 1000)) +
                                       " s; retry later");
  }
  return ok_status();
}

bool EngineLoop::share_is_full_locked(std::string_view share) const {
  if (options_.max_queued_per_share <= 0) return false;
  const auto found = waiting_by_share_.find(share);
  return found != waiting_by_share_.end() && found->second >= options_.max_queued_per_share;
}

bool EngineLoop::share_is_full(std::string_view share) const {
  const std::lock_guard lock(mutex_);
  return share_is_full_locked(share);
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
    const auto ready = [this] {
      return stop_ || !inbox_.empty() || loaded_ || (!core_idle_ && !core_only_loads_);
    };
    if (core_only_loads_ || core_saves_) {
      wake_.wait_for(lock, kDiskLook, ready);  // somebody may have left meanwhile
    } else {
      wake_.wait(lock, ready);
    }
    loaded_ = false;
    if (stop_ && inbox_.empty() && core_idle_) return false;
    arrived.swap(inbox_);
    core_idle_ = false;  // what arrived counts as the core's from here on
    expired = deadline_ && Clock::now() >= *deadline_;
  }
  for (Submission& submission : arrived) core_.accept(std::move(submission));
  try {
    if (expired) core_.fail_all(shutting_down());
    if (core_.broken()) core_.fail_all(*core_.broken());
    core_.step();
    publish_stats();
  } catch (const std::bad_alloc&) {
    // The core counts as busy until its state could be told, so this is tried again at once.
  }
  return true;
}

void EngineLoop::publish_stats() {
  const CoreCounters& counters = core_.counters();
  const Scheduler& scheduler = core_.scheduler();
  const double wait_ms = core_.predicted_wait_ns() / 1e6;
  auto waiting = core_.waiting_by_share();
  DiskStats disk;
  if (store_) {
    const PageStoreCounters counted = store_->counters();
    disk = {counters.restored_pages, counted.saved, counted.damaged, counted.failed, counted.bytes};
  }
  {
    const std::lock_guard lock(mutex_);
    stats_.running = scheduler.n_running();
    stats_.queued = scheduler.n_waiting() + core_.n_loading();
    stats_.kv_pages_used = scheduler.n_pages_used();
    stats_.kv_pages_idle = scheduler.n_pages_idle();
    stats_.kv_pages_evicted = scheduler.n_pages_evicted();
    stats_.cached_tokens = counters.cached_tokens;
    stats_.predicted_wait_ms = wait_ms;
    waiting_by_share_ = std::move(waiting);
    n_unpublished_ = 0;
    for (const Submission& arrived : inbox_) {  // during this step
      const int64_t n = 1 + static_cast<int64_t>(arrived.siblings.size());
      waiting_by_share_[arrived.sequence->request().share] += static_cast<int32_t>(n);
      n_unpublished_ += n;
    }
    stats_.requests_finished = counters.finished;
    stats_.requests_failed = counters.failed;
    stats_.requests_cancelled = counters.cancelled;
    stats_.prompt_tokens = counters.prompt_tokens;
    stats_.completion_tokens = counters.completion_tokens;
    stats_.speculation = core_.speculation();
    if (speculator_ && !speculator_->has_drafter()) stats_.draft_kv_bytes = 0;
    stats_.drafted_tokens = counters.drafted_tokens;
    stats_.accepted_tokens = counters.accepted_tokens;
    stats_.steps = counters.steps;
    stats_.preemptions = counters.preemptions;
    stats_.latency = core_.latency();
    if (core_.broken() && !refusal_) refusal_ = core_.broken();
    core_idle_ = core_.idle();
    core_only_loads_ = core_.only_loads();
    core_saves_ = core_.saves();
    if (store_) stats_.disk = disk;
  }
  if (core_.idle()) empty_.notify_all();
}

}  // namespace quern::engine
