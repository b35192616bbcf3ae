// See step_cost_meter.h. One slow step (a page fault, another program) must not pass for the rule,
// so a sample counts as four times the estimate at most.
#include "engine/run/step_cost_meter.h"

#include <algorithm>

namespace quern::engine {
namespace {

constexpr double kBlend = 0.2;   // weight of the newest step
constexpr double kDecay = 0.95;  // of the sums, per prompt step
constexpr double kMaxRatio = 4;  // of a sample to the estimate
// Prompt steps beside no stream also read the weights, which only many tokens outweigh.
constexpr double kFewTokens = 16;
// Spread of the mean number of attended positions (standard deviation) from which on its cost can
// be told apart.
constexpr double kLeastSpread = 16;

}  // namespace

void StepCostMeter::note(const StepPlan& plan, double ns) {
  double n_prompt = 0;
  double attended = 0;
  for (size_t i = static_cast<size_t>(plan.n_decodes); i < plan.sequences.size(); ++i) {
    const auto n = static_cast<double>(plan.sequences[i].n_tokens);
    n_prompt += n;
    attended += n * static_cast<double>(plan.sequences[i].first_position) + n * (n + 1) / 2;
  }
  if (n_prompt == 0) {
    if (plan.n_decodes == 0) return;
    double& known = costs_.decode_ns[static_cast<size_t>(StepCosts::bucket(plan.n_decodes))];
    known = known > 0 ? known + kBlend * (std::min(ns, kMaxRatio * known) - known) : ns;
    return;
  }
  double rest = ns;
  if (plan.n_decodes > 0) {
    const double streams = costs_.decode_step_ns(plan.n_decodes);
    if (streams == 0) return;
    rest = std::max(ns - streams, 0.0);
  } else if (n_prompt < kFewTokens && w_ > 0) {
    return;
  }
  note_prompts(n_prompt, attended / n_prompt, rest);
}

void StepCostMeter::note_prompts(double n_tokens, double mean_attended, double ns) {
  double y = ns / n_tokens;
  if (w_ > 0) {
    const double expected = costs_.prompt_token_ns + costs_.position_ns * mean_attended;
    y = std::min(y, kMaxRatio * expected);
  }
  const double x = mean_attended;
  w_ = kDecay * w_ + n_tokens;
  wx_ = kDecay * wx_ + n_tokens * x;
  wxx_ = kDecay * wxx_ + n_tokens * x * x;
  wy_ = kDecay * wy_ + n_tokens * y;
  wxy_ = kDecay * wxy_ + n_tokens * x * y;
  const double mean_x = wx_ / w_;
  const double mean_y = wy_ / w_;
  const double variance = wxx_ / w_ - mean_x * mean_x;
  if (variance > kLeastSpread * kLeastSpread) {
    costs_.position_ns = std::max(0.0, (wxy_ / w_ - mean_x * mean_y) / variance);
  }
  // Never nothing: a chunk has to have an end.
  costs_.prompt_token_ns = std::max({mean_y - costs_.position_ns * mean_x, mean_y / 100, 1.0});
}

}  // namespace quern::engine
