// What was computed beside what was predicted for the same steps.
#include "engine/run/speed_meter.h"

#include <gtest/gtest.h>

#include <vector>

#include "models/loader/speed_estimate.h"

namespace quern::engine {
namespace {

loader::TokenWork work() {
  loader::TokenWork out;
  out.layer_bytes = 500'000'000;
  out.output_bytes = 50'000'000;
  out.layer_values = 900'000'000;
  out.output_values = 60'000'000;
  out.attention_width = 40'000;
  out.kv_bytes = 20'000;
  return out;
}

hardware::Measured machine() {
  hardware::Measured measured;
  measured.mapped_read_bandwidth_gbs = 30;
  measured.int8_tops = 1;
  measured.f32_tflops = 0.3;
  return measured;
}

// A step of these sequences: tokens and first position of each.
class Step {
 public:
  explicit Step(const std::vector<std::pair<int32_t, int32_t>>& sequences) {
    int32_t first = 0;
    for (const auto& [n_tokens, position] : sequences) {
      slices_.push_back({first, n_tokens, position, {}});
      first += n_tokens;
    }
    tokens_.resize(static_cast<size_t>(first));
  }
  ops::StepInputs inputs() const { return {tokens_, slices_, {}}; }

 private:
  std::vector<int32_t> tokens_;
  std::vector<ops::SequenceSlice> slices_;
};

TEST(SpeedMeter, SumsWhatWasPredictedForTheStepsMade) {
  SpeedMeter meter(work(), machine(), Log::none());
  meter.note(Step({{1, 10}, {1, 30}}).inputs(), 0.5);
  meter.note(Step({{1, 4000}}).inputs(), 0.25);
  const StepSpeed decode = meter.speed().decode;
  EXPECT_EQ(decode.tokens, 3U);
  EXPECT_DOUBLE_EQ(decode.seconds, 0.75);
  EXPECT_DOUBLE_EQ(decode.rate(), 4);
  const double expected = 2 / loader::estimate_decode(work(), machine(), 2, 20).predicted +
                          1 / loader::estimate_decode(work(), machine(), 1, 4000).predicted;
  EXPECT_DOUBLE_EQ(decode.predicted_seconds, expected);
  EXPECT_EQ(meter.speed().prefill.tokens, 0U);
}

TEST(SpeedMeter, PrefillIsOnePieceOfAPromptAlone) {
  SpeedMeter meter(work(), machine(), Log::none());
  meter.note(Step({{200, 100}}).inputs(), 0.5);
  meter.note(Step({{1, 10}, {200, 0}}).inputs(), 0.5);                  // beside a stream
  meter.note(Step({{200, 0}, {200, 0}}).inputs(), 0.5);                 // two prompts
  meter.note(Step({{SpeedMeter::kLeastPrompt - 1, 0}}).inputs(), 0.5);  // a batch rather
  const StepSpeed prefill = meter.speed().prefill;
  EXPECT_EQ(prefill.tokens, 200U);
  EXPECT_DOUBLE_EQ(prefill.seconds, 0.5);
  EXPECT_DOUBLE_EQ(prefill.predicted_rate(),
                   loader::estimate_prefill(work(), machine(), 200, 100).predicted);
  EXPECT_EQ(meter.speed().decode.tokens, 0U);
}

TEST(SpeedMeter, SaysWhereNothingWasPredicted) {
  SpeedMeter meter(work(), {}, Log::none());
  EXPECT_EQ(speed_text("decode", meter.speed().decode), "");
  meter.note(Step({{1, 10}}).inputs(), 0.25);
  EXPECT_EQ(speed_text("decode", meter.speed().decode),
            "decode 4.0 tokens/s, not predicted (run `quern hardware measure`)");
  StepSpeed speed;
  speed.tokens = 1000;
  speed.seconds = 2;
  speed.predicted_seconds = 2.5;
  EXPECT_EQ(speed_text("prefill", speed), "prefill 500 tokens/s, predicted 400");
}

}  // namespace
}  // namespace quern::engine
