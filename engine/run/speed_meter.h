// Compares how fast steps run with what models/loader/speed_estimate.h predicts for the same steps.
//
// Counted are steps that give every sequence one token (decode), and steps of one prompt's piece of
// at least kLeastPrompt tokens (prefill); steps of another mix are neither. What was predicted is
// summed over the very steps that were counted, whatever their batch and depth, so the two rates
// differ by the error of the prediction only. What a step waits for the turn of another model is
// not its time: it has its turn when it is run.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "config/base/log.h"
#include "config/hardware/profile.h"
#include "engine/run/step_runner.h"
#include "engine/types/stream.h"
#include "models/loader/memory_estimate.h"

namespace quern::engine {

class SpeedMeter {
 public:
  static constexpr int32_t kLeastPrompt = 32;
  // Tokens from which on a rate means something and is logged, once for decode and for prefill.
  static constexpr uint64_t kEnoughTokens = 256;

  SpeedMeter(const loader::TokenWork& work, const hardware::Measured& machine, Log log)
      : work_(work), machine_(machine), log_(std::move(log)) {}

  // A step was run in so much time. Thread-safe, like everything here.
  void note(const ops::StepInputs& inputs, double seconds);
  ModelSpeed speed() const;

 private:
  void add(StepSpeed& to, double tokens, double seconds, double predicted_rate,
           std::string_view name);

  const loader::TokenWork work_;
  const hardware::Measured machine_;
  const Log log_;
  mutable std::mutex mutex_;
  ModelSpeed speed_;
};

// "decode 61.2 tokens/s, predicted 63.0": of what was measured so far; empty if that was nothing.
std::string speed_text(std::string_view name, const StepSpeed& speed);

// Passes steps on to another runner and their times to a meter.
class MeteredRunner final : public StepRunner {
 public:
  MeteredRunner(std::unique_ptr<StepRunner> inner, std::shared_ptr<SpeedMeter> meter)
      : inner_(std::move(inner)), meter_(std::move(meter)) {}

  Status run(const ops::StepInputs& inputs, std::span<float> logits) override;
  void copy_page(PageId from, PageId to) override { inner_->copy_page(from, to); }
  uint64_t page_bytes() const override { return inner_->page_bytes(); }
  void read_page(PageId page, std::span<std::byte> out) override { inner_->read_page(page, out); }
  void write_page(PageId page, std::span<const std::byte> bytes) override {
    inner_->write_page(page, bytes);
  }
  Status check_model() const override { return inner_->check_model(); }

 private:
  std::unique_ptr<StepRunner> inner_;
  std::shared_ptr<SpeedMeter> meter_;
};

}  // namespace quern::engine
