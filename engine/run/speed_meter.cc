#include "engine/run/speed_meter.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "models/loader/speed_estimate.h"

namespace quern::engine {
namespace {

std::string rate_text(double tokens_per_second) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), tokens_per_second < 100 ? "%.1f" : "%.0f",
                tokens_per_second);
  return buffer;
}

}  // namespace

std::string speed_text(std::string_view name, const StepSpeed& speed) {
  if (speed.seconds <= 0) return "";
  const std::string predicted = speed.predicted_seconds > 0
                                    ? ", predicted " + rate_text(speed.predicted_rate())
                                    : ", not predicted (run `quern hardware measure`)";
  return std::string(name) + " " + rate_text(speed.rate()) + " tokens/s" + predicted;
}

void SpeedMeter::add(StepSpeed& to, double tokens, double seconds, double predicted_rate,
                     std::string_view name) {
  const bool enough = to.tokens >= kEnoughTokens;
  to.tokens += static_cast<uint64_t>(tokens);
  to.seconds += seconds;
  if (predicted_rate > 0) to.predicted_seconds += tokens / predicted_rate;
  if (!enough && to.tokens >= kEnoughTokens) log_.info(speed_text(name, to));
}

void SpeedMeter::note(const ops::StepInputs& inputs, double seconds) {
  const auto& sequences = inputs.sequences;
  if (sequences.empty() || seconds <= 0) return;
  const auto is_decode = [](const ops::SequenceSlice& s) { return s.n_tokens == 1; };
  const std::lock_guard lock(mutex_);
  if (std::all_of(sequences.begin(), sequences.end(), is_decode)) {
    int64_t depth = 0;
    for (const ops::SequenceSlice& s : sequences) depth += s.first_position;
    const auto batch = static_cast<int>(sequences.size());
    const double rate = loader::estimate_decode(work_, machine_, batch, depth / batch).predicted;
    add(speed_.decode, batch, seconds, rate, "decode");
  } else if (sequences.size() == 1 && sequences.front().n_tokens >= kLeastPrompt) {
    const ops::SequenceSlice& s = sequences.front();
    const double rate =
        loader::estimate_prefill(work_, machine_, s.n_tokens, s.first_position).predicted;
    add(speed_.prefill, s.n_tokens, seconds, rate, "prefill");
  }
}

ModelSpeed SpeedMeter::speed() const {
  const std::lock_guard lock(mutex_);
  return speed_;
}

Status MeteredRunner::run(const ops::StepInputs& inputs, std::span<float> logits) {
  const auto begin = std::chrono::steady_clock::now();
  QUERN_RETURN_IF_ERROR(inner_->run(inputs, logits));
  meter_->note(inputs,
               std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return ok_status();
}

}  // namespace quern::engine
