// Learns what steps cost from their measured times, for the Scheduler's StepCosts: a moving
// estimate that follows the machine.
//
// Steps without prompts give the time per number of streams. What a step with prompts takes beyond
// that is fitted by weighted least squares, recent steps counting more: time per token = a constant
// + position cost * the mean number of positions attended to. Depends on nothing but what note()
// was given.
#pragma once

#include "engine/scheduler/step_costs.h"
#include "engine/scheduler/step_plan.h"

namespace quern::engine {

class StepCostMeter {
 public:
  // A step was made as planned and took `ns`, from planning to the last drawn token.
  void note(const StepPlan& plan, double ns);
  const StepCosts& costs() const { return costs_; }

 private:
  void note_prompts(double n_tokens, double mean_attended, double ns);

  StepCosts costs_;
  // Decaying sums over prompt steps: weight, x, x*x, y, x*y with x the mean number of positions
  // attended to and y the time per token.
  double w_ = 0;
  double wx_ = 0;
  double wxx_ = 0;
  double wy_ = 0;
  double wxy_ = 0;
};

}  // namespace quern::engine
