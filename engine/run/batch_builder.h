// StepPlan to ops::StepInputs: gathers tokens and page lists of the planned sequences.
//
// Owns the arrays that the inputs point to, but for pages and adapters, which are the sources';
// they stay valid until the next build().
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/scheduler/step_plan.h"
#include "engine/types/request.h"
#include "kernels/ops/ops.h"

namespace quern::engine {

// What the builder needs of one planned sequence.
struct BatchSource {
  std::span<const TokenId> tokens;  // all known tokens
  std::span<const int32_t> pages;
  std::span<const TokenId> draft = {};  // what may follow them
  std::span<const AdapterUse> adapters = {};
};

class BatchBuilder {
 public:
  // `sources` belong to plan.sequences, one each.
  ops::StepInputs build(const StepPlan& plan, std::span<const BatchSource> sources);

 private:
  std::vector<int32_t> tokens_;
  std::vector<ops::SequenceSlice> slices_;
  std::vector<int32_t> outputs_;
};

}  // namespace quern::engine
