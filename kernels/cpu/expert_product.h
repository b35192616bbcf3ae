// The matrix product of a mixture of experts: every row of the step times the matrices of its own
// experts, each of which is read once.
#pragma once

#include <cstdint>

#include "config/base/result.h"
#include "config/base/thread_pool.h"
#include "kernels/cpu/cpu_scratch.h"
#include "kernels/cpu/expert_groups.h"
#include "kernels/ops/ops.h"

namespace quern::cpu {

class ExpertProduct {
 public:
  // Error: no memory for the inputs.
  Status run(const ops::ExpertMatmulArgs& args, ThreadPool& pool, WorkerScratch& workers,
             QuantizeFn quantize);

 private:
  // Inputs as the matrices take them.
  struct Inputs {
    int64_t n_in = 0;
    ActivationForms forms;
  };
  static Inputs inputs_of(const ops::ExpertMatmulArgs& args);
  Status quantize_inputs(const ops::ExpertMatmulArgs& args, const Inputs& inputs, ThreadPool& pool,
                         QuantizeFn quantize);
  Status group_inputs(const ops::ExpertMatmulArgs& args, const Inputs& inputs, ThreadPool& pool);
  void list_jobs(const ops::ExpertMatmulArgs& args, const Inputs& inputs);

  ActivationStore rows_;
  // By place, where the inputs are not.
  ActivationStore grouped_;
  GrowingBuffer grouped_floats_;
  ExpertJobs jobs_;
};

}  // namespace quern::cpu
