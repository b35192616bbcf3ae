#include "models/loader/speed_estimate.h"

#include <algorithm>

namespace quern::loader {
namespace {

// What the kernels reach of the ceilings, see the header: of the f32 rate in attention, and of the
// int8 rate of dot products in what multiplying adds to reading.
constexpr double kAttendShare = 0.65;
constexpr double kMultiplyShare = 0.4;
// The same in steps of at least so many tokens where there are tiles, which are beyond that rate.
constexpr double kTileShare = 0.65;
constexpr int64_t kTileTokens = 16;

double multiply_share(const hardware::Measured& machine, int64_t tokens) {
  return machine.int8_tile_tops > 0 && tokens >= kTileTokens ? kTileShare : kMultiplyShare;
}

struct Seconds {
  double read = 0;
  double multiply = 0;
  double attend = 0;
};

double seconds_for(double amount, double rate) { return rate > 0 ? amount / rate : 0; }

double mapped_bandwidth(const hardware::Measured& machine) {
  return 1e9 * (machine.mapped_read_bandwidth_gbs > 0 ? machine.mapped_read_bandwidth_gbs
                                                      : machine.read_bandwidth_gbs);
}

SpeedEstimate speed_of(int64_t step_tokens, const hardware::Measured& machine,
                       const Seconds& at_ceiling) {
  const auto tokens = static_cast<double>(step_tokens);
  SpeedEstimate out;
  if (at_ceiling.read <= 0 || at_ceiling.multiply <= 0) return out;
  out.ceiling = tokens / (std::max(at_ceiling.read, at_ceiling.multiply) + at_ceiling.attend);
  out.predicted =
      tokens / (at_ceiling.read + at_ceiling.multiply / multiply_share(machine, step_tokens) +
                at_ceiling.attend / kAttendShare);
  return out;
}

}  // namespace

SpeedEstimate estimate_decode(const TokenWork& work, const hardware::Measured& machine, int batch,
                              int64_t depth) {
  const double b = batch;
  const double context = b * static_cast<double>(depth);
  const double bytes = work.bytes(batch) + context * static_cast<double>(work.kv_bytes);
  return speed_of(batch, machine,
                  {.read = seconds_for(bytes, mapped_bandwidth(machine)),
                   .multiply = seconds_for(2 * b * work.token_values(), 1e12 * machine.int8_tops),
                   .attend = seconds_for(4 * context * static_cast<double>(work.attention_width),
                                         1e12 * machine.f32_tflops)});
}

SpeedEstimate estimate_prefill(const TokenWork& work, const hardware::Measured& machine,
                               int64_t tokens, int64_t depth) {
  const double n = static_cast<double>(tokens);
  const double seen = n * (static_cast<double>(depth) + n / 2);
  const double operations =
      2 * (n * work.token_layer_values() + static_cast<double>(work.output_values));
  return speed_of(tokens, machine,
                  {.read = seconds_for(work.bytes(tokens), mapped_bandwidth(machine)),
                   .multiply = seconds_for(operations, 1e12 * machine.int8_tops),
                   .attend = seconds_for(4 * seen * static_cast<double>(work.attention_width),
                                         1e12 * machine.f32_tflops)});
}

}  // namespace quern::loader
