// Times become seconds and rates here; see LatencyStats for what each one means.
#include "engine/run/latency_meter.h"

#include <chrono>

namespace quern::engine {
namespace {

constexpr double kNsPerSecond = 1e9;

double seconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

double rate(int64_t count, int64_t ns) {
  return static_cast<double>(count) * kNsPerSecond / static_cast<double>(ns);
}

}  // namespace

void LatencyMeter::note_first_token(TimePoint accepted, TimePoint now) {
  stats_.time_to_first_token_s.observe(seconds(accepted, now));
}

void LatencyMeter::note_next_token(TimePoint before, TimePoint now) {
  stats_.token_gap_s.observe(seconds(before, now));
}

void LatencyMeter::note_finished(const Event& event) {
  const Usage& usage = event.usage;
  const Timings& times = event.timings;
  stats_.queue_s.observe(static_cast<double>(times.queue_ns) / kNsPerSecond);
  stats_.total_s.observe(static_cast<double>(times.total_ns) / kNsPerSecond);
  stats_.prompt_tokens.observe(static_cast<double>(usage.prompt_tokens));
  stats_.completion_tokens.observe(static_cast<double>(usage.completion_tokens));
  const int64_t computed = usage.prompt_tokens - usage.cached_tokens;
  if (computed > 0 && times.prefill_ns > 0) {
    stats_.prefill_rate.observe(rate(computed, times.prefill_ns));
  }
  // Between the first token and the last lie one fewer than there are.
  if (usage.completion_tokens > 1 && times.decode_ns > 0) {
    stats_.decode_rate.observe(rate(usage.completion_tokens - 1, times.decode_ns));
  }
}

}  // namespace quern::engine
