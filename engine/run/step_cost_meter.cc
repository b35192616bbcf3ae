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
constexpr double kRowDecay = 0.98;  // of the sums over steps without prompts, per step
// Spread of the number of tokens per step from which on the cost of one can be told apart.
constexpr double kLeastRowSpread = 0.5;
// What one of several tokens is taken to cost until then, as a part of the step: little, so that it
// is tried.
constexpr double kUnknownRow = 0.125;

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
    note_rows(plan.n_decodes + plan.n_drafted, ns);
    if (plan.n_drafted > 0) return;
    double& known = costs_.decode_ns[static_cast<size_t>(StepCosts::bucket(plan.n_decodes))];
    known = known > 0 ? known + kBlend * (std::min(ns, kMaxRatio * known) - known) : ns;
    return;
  }
  double rest = ns;
  if (plan.n_decodes > 0) {
    const double streams = costs_.decode_step_ns(plan.n_decodes);
    if (streams == 0) return;
    rest = std::max(ns - streams, 0.0);
  } else if (n_prompt < kFewTokens && prompts_.w > 0) {
    return;
  }
  note_prompts(n_prompt, attended / n_prompt, rest);
}

void StepCostMeter::Line::add(double decay, double weight, double x, double y) {
  w = decay * w + weight;
  wx = decay * wx + weight * x;
  wxx = decay * wxx + weight * x * x;
  wy = decay * wy + weight * y;
  wxy = decay * wxy + weight * x * y;
}

void StepCostMeter::note_rows(double n_rows, double ns) {
  if (rows_.w > 0) ns = std::min(ns, kMaxRatio * costs_.rows_ns(static_cast<int32_t>(n_rows)));
  rows_.add(kRowDecay, 1, n_rows, ns);
  if (rows_.variance() > kLeastRowSpread * kLeastRowSpread) {
    costs_.row_ns = std::max(0.0, rows_.slope());
  } else if (costs_.row_ns == 0) {
    costs_.row_ns = kUnknownRow * rows_.mean_y() / rows_.mean_x();
  }
  costs_.step_ns = std::max(0.0, rows_.mean_y() - costs_.row_ns * rows_.mean_x());
}

void StepCostMeter::note_prompts(double n_tokens, double mean_attended, double ns) {
  double y = ns / n_tokens;
  if (prompts_.w > 0) {
    const double expected = costs_.prompt_token_ns + costs_.position_ns * mean_attended;
    y = std::min(y, kMaxRatio * expected);
  }
  prompts_.add(kDecay, n_tokens, mean_attended, y);
  if (prompts_.variance() > kLeastSpread * kLeastSpread) {
    costs_.position_ns = std::max(0.0, prompts_.slope());
  }
  const double mean_y = prompts_.mean_y();
  // Never nothing: a chunk has to have an end.
  costs_.prompt_token_ns =
      std::max({mean_y - costs_.position_ns * prompts_.mean_x(), mean_y / 100, 1.0});
}

}  // namespace quern::engine
