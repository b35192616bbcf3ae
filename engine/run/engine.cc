// The public Engine: sizes memory, binds model and loop.
#include "engine/run/engine.h"

#include <algorithm>
#include <string>
#include <utility>

#include "config/hardware/cpu_probe.h"
#include "engine/run/engine_loop.h"
#include "engine/run/memory_plan.h"
#include "engine/run/model_digest.h"
#include "engine/run/model_runner.h"
#include "engine/run/speculation_setup.h"
#include "engine/run/speed_meter.h"
#include "engine/types/contract.h"
#include "models/gguf/reader.h"

namespace quern::engine {
namespace {

// Rows of logits per step beyond one per sequence: how fast log-probabilities of prompts are made,
// against vocabulary * 4 bytes each.
constexpr int32_t kSpareOutputs = 16;
// With drafts at least as many as a few streams can use at their longest; with many streams long
// drafts do not pay.
constexpr int32_t kStreamsDrafted = 4;

int32_t spare_outputs(const EngineOptions& options, int32_t max_running) {
  if (!options.speculation.on()) return kSpareOutputs;
  return std::max(kSpareOutputs,
                  options.speculation.max_tokens * std::min(max_running, kStreamsDrafted));
}

class ModelEngine final : public Engine {
 public:
  ModelEngine(std::shared_ptr<const loader::Model> model, const KvPlan& plan,
              std::shared_ptr<const SpeedMeter> meter, std::unique_ptr<EngineLoop> loop)
      : model_(std::move(model)), plan_(plan), meter_(std::move(meter)), loop_(std::move(loop)) {}

  Result<std::unique_ptr<Stream>> submit(Request request) override {
    return loop_->submit(std::move(request));
  }
  Result<std::vector<std::unique_ptr<Stream>>> submit_group(
      std::vector<Request> requests) override {
    return loop_->submit_group(std::move(requests));
  }
  bool share_is_full(std::string_view share) const override { return loop_->share_is_full(share); }
  EngineStats stats() const override {
    EngineStats stats = loop_->stats();
    stats.speed = meter_->speed();
    return stats;
  }
  const loader::Model& model() const override { return *model_; }
  int64_t context_tokens() const override { return plan_.context_tokens; }
  uint64_t kv_bytes() const override { return plan_.bytes; }
  void drain(std::chrono::steady_clock::time_point deadline) override { loop_->drain(deadline); }

 private:
  std::shared_ptr<const loader::Model> model_;
  KvPlan plan_;
  std::shared_ptr<const SpeedMeter> meter_;
  std::unique_ptr<EngineLoop> loop_;  // last: its thread ends before the model goes
};

Status check_range(std::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return ok_status();
  return Error(ErrorKind::kInvalidInput, std::string(name) + " is " + std::to_string(value) +
                                             "; it must be from " + std::to_string(low) + " to " +
                                             std::to_string(high));
}

Status check_options(const EngineOptions& options) {
  QUERN_RETURN_IF_ERROR(check_range("context_tokens", options.context_tokens, 0, int64_t{1} << 30));
  QUERN_RETURN_IF_ERROR(check_range("max_sequences", options.max_sequences, 1, 1024));
  QUERN_RETURN_IF_ERROR(check_range("max_queued", options.max_queued, 0, 1 << 20));
  QUERN_RETURN_IF_ERROR(
      check_range("max_queued_per_share", options.max_queued_per_share, 0, 1 << 20));
  QUERN_RETURN_IF_ERROR(check_range("max_gap_ms", options.max_gap_ms, 0, 1 << 20));
  QUERN_RETURN_IF_ERROR(
      check_range("speculation.max_tokens", options.speculation.max_tokens, 1, 64));
  return check_range("max_step_tokens", options.max_step_tokens, 1, 1 << 16);
}

// Leaves room for the models' own pages, which the page cache must keep for speed, and a tenth of
// the rest for everything else.
uint64_t memory_for_cache(const loader::Model& model, const EngineOptions& options) {
  const uint64_t available = hardware::probe_memory().available_bytes;
  const loader::Model* draft = options.speculation.draft_model.get();
  uint64_t files = model.facts().file_bytes + (draft ? draft->facts().file_bytes : 0);
  for (const auto& adapter : options.adapters) files += adapter->facts().file_bytes;
  const uint64_t weights = std::min(available, files);
  return (available - weights) / 10 * 9;
}

Result<std::unique_ptr<StoreWorker>> open_store(const std::shared_ptr<const loader::Model>& model,
                                                const backend::Backend& backend,
                                                const EngineOptions& options,
                                                const LoopOptions& loop) {
  QUERN_ASSIGN_OR_RETURN(auto store,
                         PageStore::open({options.page_directory, options.page_directory_bytes,
                                          options.log, nullptr}));
  StoreWorkerOptions worker;
  worker.page_bytes = loop.kv_page_bytes;
  worker.page_tokens = loop.budget.page_tokens;
  PageOrigin origin;
  origin.contract = kContract;
  origin.backend = backend.name();
  origin.kv_format = std::to_string(static_cast<int>(options.kv_format));
  origin.context_tokens = options.context_tokens;
  origin.page_tokens = worker.page_tokens;
  origin.page_bytes = worker.page_bytes;
  return StoreWorker::start(
      std::move(store), worker,
      [model, origin, directory = options.page_directory]() mutable -> std::optional<Digest> {
        const auto digest = model_digest(model->file(), directory);
        if (!digest) return std::nullopt;
        origin.model = *digest;
        return origin_digest(origin);
      });
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<const loader::Model> model,
                                               backend::Backend& backend,
                                               const EngineOptions& options) {
  QUERN_RETURN_IF_ERROR(check_options(options));
  LoopOptions loop;
  // Every running sequence gets a token in each step, so no more run than a step has tokens.
  loop.budget.max_running = std::min(options.max_sequences, options.max_step_tokens);

  KvDemand demand;
  demand.context_option = options.context_tokens;
  demand.context_trained = std::max<int64_t>(1, model->facts().context_length);
  demand.max_sequences = loop.budget.max_running;
  demand.kv_bytes_option = options.kv_bytes;
  demand.available_bytes = memory_for_cache(*model, options);
  const uint64_t page_bytes =
      graph::KvStorage::bytes_per_page(*model->weights(), options.kv_format);
  // A page of the draft model for each of the model's.
  demand.bytes_per_page = page_bytes + draft_bytes_per_page(options.speculation);
  demand.page_tokens = graph::kPageTokens;
  QUERN_ASSIGN_OR_RETURN(const KvPlan plan, plan_kv(demand));

  loop.budget.max_step_tokens = options.max_step_tokens;
  loop.budget.max_step_outputs =
      loop.budget.max_running + spare_outputs(options, loop.budget.max_running);
  loop.budget.n_pages = plan.n_pages;
  loop.budget.page_tokens = graph::kPageTokens;
  loop.budget.max_idle_pages = static_cast<int32_t>(std::min<uint64_t>(
      options.idle_prompt_bytes / page_bytes, static_cast<uint64_t>(plan.n_pages)));
  loop.budget.max_gap_ns = static_cast<double>(options.max_gap_ms) * 1e6;
  loop.kv_page_bytes = page_bytes;
  loop.draft_kv_bytes =
      static_cast<uint64_t>(plan.n_pages) * draft_bytes_per_page(options.speculation);
  loop.max_queued_per_share = options.max_queued_per_share;
  loop.limits.n_vocab = model->facts().n_vocab;
  loop.limits.context_tokens = plan.context_tokens;
  loop.limits.n_adapters = static_cast<int32_t>(options.adapters.size());
  loop.max_queued = options.max_queued;
  loop.turn = options.turn;

  const RunnerShape shape{options.kv_format, plan.n_pages, options.max_step_tokens,
                          loop.budget.max_step_outputs, options.adapters};
  QUERN_ASSIGN_OR_RETURN(std::unique_ptr<ModelRunner> model_runner,
                         ModelRunner::create(model, backend, shape));
  QUERN_ASSIGN_OR_RETURN(const loader::ModelSize size,
                         loader::model_size(model->file(), options.kv_format));
  auto meter = std::make_shared<SpeedMeter>(size.work, options.machine, options.log);
  std::unique_ptr<StepRunner> runner =
      std::make_unique<MeteredRunner>(std::move(model_runner), meter);
  std::unique_ptr<StoreWorker> store;
  if (!options.page_directory.empty() && loop.budget.max_idle_pages > 0) {
    QUERN_ASSIGN_OR_RETURN(store, open_store(model, backend, options, loop));
    for (const auto& adapter : options.adapters) {
      loop.adapter_digests.push_back(model_digest(adapter->file(), options.page_directory));
    }
  }
  const tokenizer::Tokenizer& tokenizer = model->tokenizer();
  QUERN_ASSIGN_OR_RETURN(
      auto speculator,
      create_speculator(options.speculation, tokenizer, backend,
                        {loop.limits.n_vocab, plan.n_pages, loop.budget.max_running, options.log}));
  QUERN_ASSIGN_OR_RETURN(std::unique_ptr<EngineLoop> started,
                         EngineLoop::start(std::move(runner), tokenizer, loop, std::move(store),
                                           std::move(speculator)));
  return std::unique_ptr<Engine>(
      std::make_unique<ModelEngine>(std::move(model), plan, std::move(meter), std::move(started)));
}

}  // namespace quern::engine
