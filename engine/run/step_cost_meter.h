// Learns what steps cost from their measured times, for the Scheduler's StepCosts: a moving
// estimate that follows the machine.
//
// Steps without prompts give the time per number of streams, and a line over their number of
// tokens, drafts included. What a step with prompts takes beyond its streams is another line: time
// per token = a constant + position cost * the mean number of positions attended to. Lines are
// fitted by weighted least squares, recent steps counting more. Depends on nothing but what note()
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
  // Decaying sums of weight, x, x*x, y, x*y.
  struct Line {
    double w = 0;
    double wx = 0;
    double wxx = 0;
    double wy = 0;
    double wxy = 0;

    void add(double decay, double weight, double x, double y);
    double mean_x() const { return wx / w; }
    double mean_y() const { return wy / w; }
    double variance() const { return wxx / w - mean_x() * mean_x(); }
    double slope() const { return (wxy / w - mean_x() * mean_y()) / variance(); }
  };

  void note_rows(double n_rows, double ns);
  void note_prompts(double n_tokens, double mean_attended, double ns);

  StepCosts costs_;
  Line rows_;     // x: tokens of a step without prompts, y: its time
  Line prompts_;  // x: mean number of positions attended to, y: time per token
};

}  // namespace quern::engine
