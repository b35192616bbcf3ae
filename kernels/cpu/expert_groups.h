// The rows of a step by expert: their grouping, and the work of multiplying each group.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernel_types.h"
#include "kernels/ops/ops.h"

namespace quern::cpu {

// Fills places, sources and firsts from the experts of n_rows rows.
void group_by_expert(const ops::ExpertRouting& routing, int64_t n_rows);

// The matrix products of all experts as one line of work that is cut into pieces anywhere, because
// one expert may have most of the rows and another one row. A panel is as long as it costs.
class ExpertJobs {
 public:
  void clear();
  // All panels of one product. It has at least one row.
  void add(const MatmulTask& task, MatmulFn multiply);

  int64_t length() const { return length_; }
  // The panels that begin in [begin, end) of the line.
  void run(int64_t begin, int64_t end, const MatmulScratch& scratch) const;

 private:
  struct Job {
    MatmulTask task;
    MatmulFn multiply;
    int64_t first;  // where its first panel begins
    int64_t panel_length;
    int64_t n_panels;
  };

  std::vector<Job> jobs_;
  int64_t length_ = 0;
};

}  // namespace quern::cpu
