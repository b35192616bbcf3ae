// The tables are the lists of what is summed.
#include "server/api/model_counters.h"

#include <array>

namespace quern::api {
namespace {

using engine::DiskStats;
using engine::EngineStats;
using engine::LatencyStats;

constexpr std::array kCounters = {
    &EngineStats::requests_accepted, &EngineStats::requests_finished,
    &EngineStats::requests_failed,   &EngineStats::requests_cancelled,
    &EngineStats::prompt_tokens,     &EngineStats::cached_tokens,
    &EngineStats::completion_tokens, &EngineStats::steps,
    &EngineStats::preemptions,       &EngineStats::kv_pages_evicted,
    &EngineStats::drafted_tokens,    &EngineStats::accepted_tokens,
};
constexpr std::array kDiskCounters = {
    &DiskStats::pages_restored,
    &DiskStats::pages_saved,
    &DiskStats::pages_damaged,
    &DiskStats::writes_failed,
};
constexpr std::array kDurations = {
    &LatencyStats::time_to_first_token_s,
    &LatencyStats::queue_s,
    &LatencyStats::total_s,
};
constexpr std::array kCounts = {
    &LatencyStats::prefill_rate,
    &LatencyStats::decode_rate,
    &LatencyStats::prompt_tokens,
    &LatencyStats::completion_tokens,
};

}  // namespace

void add_counters(EngineStats& to, const EngineStats& from) {
  for (const auto counter : kCounters) to.*counter += from.*counter;
  for (const auto counter : kDiskCounters) to.disk.*counter += from.disk.*counter;
  to.latency.token_gap_s.add(from.latency.token_gap_s);
  for (const auto histogram : kDurations) (to.latency.*histogram).add(from.latency.*histogram);
  for (const auto histogram : kCounts) (to.latency.*histogram).add(from.latency.*histogram);
}

void ModelCounters::attach(const engine::Engine& engine) {
  const std::lock_guard lock(mutex_);
  engine_ = &engine;
}

void ModelCounters::detach() {
  const std::lock_guard lock(mutex_);
  if (engine_ != nullptr) add_counters(gone_, engine_->stats());
  engine_ = nullptr;
}

EngineStats ModelCounters::get() const {
  const std::lock_guard lock(mutex_);
  EngineStats out;
  if (engine_ != nullptr) out = engine_->stats();
  add_counters(out, gone_);
  return out;
}

}  // namespace quern::api
