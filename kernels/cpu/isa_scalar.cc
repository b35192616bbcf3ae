// The oracle: every operation in plain C++, for any processor. All other rows are tested against it
// bit by bit.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/vec_scalar.h"
// Keeps its place: the kernels are written over the vectors chosen above.
#include "kernels/cpu/matmul_float-inl.h"
#include "kernels/cpu/op_kernels-inl.h"

namespace quern::cpu {
namespace {

void matmul_oracle(const MatmulTask& task, int64_t begin, int64_t end,
                   const MatmulScratch& scratch) {
  if (task.oracle == nullptr) {
    matmul_decoded(task, begin, end, scratch);
    return;
  }
  const int64_t last = smaller(end * kPanelRows, task.n_out);
  for (int64_t r = begin * kPanelRows; r < last; ++r) {
    const std::byte* row = task.weight + r * task.row_bytes;
    for (int64_t c = 0; c < task.n_rows; ++c) {
      const float value = task.oracle(row, task, c);
      task.y[c * task.y_stride + r] = task.bias != nullptr ? value + task.bias[r] : value;
    }
  }
}

void gather(const GatherTask& task, int64_t token_begin, int64_t token_end) {
  for (int64_t t = token_begin; t < token_end; ++t) {
    float* y = task.y + t * task.n_cols;
    task.decode(task.table + task.tokens[t] * task.row_bytes, y, task.n_cols);
    for (int64_t i = 0; i < task.n_cols; ++i) y[i] *= task.scale;
  }
}

}  // namespace

const OpKernels kScalarOps = op_kernels();
const MatmulFn kScalarOracle = matmul_oracle;
const GatherFn kScalarGather = gather;

}  // namespace quern::cpu
