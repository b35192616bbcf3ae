#include "kernels/cpu/expert_product.h"

#include <algorithm>

#include "config/base/check.h"
#include "config/base/checked.h"
#include "kernels/cpu/cpu_weight.h"
#include "kernels/cpu/pieces.h"

namespace quern::cpu {
namespace {

// Whether x has the row that each place needs where the place is. One row alone has every expert
// once, so all of them read it where it is.
bool has_own_rows(const ops::ExpertMatmulArgs& args) { return args.x_by_place || args.n_rows == 1; }

// What one output multiplies the rows of one expert with.
struct ExpertMatrix {
  const CpuWeight* weight;
  const std::byte* data;  // of the expert, where the weight is a stack
};

ExpertMatrix matrix_of(const ops::ExpertOutput& output, int64_t expert) {
  const bool stacked = output.weights.size() == 1;
  const CpuWeight& weight = own(output.weights[stacked ? 0 : static_cast<size_t>(expert)]);
  return {&weight, weight.view.row(stacked ? expert * output.n_out : 0)};
}

MatmulTask task_of(const ops::ExpertOutput& output, const ExpertMatrix& matrix) {
  const CpuWeight& weight = *matrix.weight;
  MatmulTask task{};
  task.weight = matrix.data;
  task.row_bytes = weight.view.row_bytes;
  task.n_out = output.n_out;
  task.n_in = weight.view.n_cols;
  task.format = weight.kernels->panel_format();
  task.oracle = weight.kernels->oracle;
  task.decode = weight.view.format->decode_row;
  task.y_stride = output.y_stride;
  return task;
}

}  // namespace

ExpertProduct::Inputs ExpertProduct::inputs_of(const ops::ExpertMatmulArgs& args) {
  Inputs inputs;
  inputs.n_in = args.outputs.front().weights.front()->view.n_cols;
  for (const ops::ExpertOutput& output : args.outputs) {
    const auto n = static_cast<int64_t>(output.weights.size());
    CHECK(n == 1 || n == args.routing.n_experts);
    for (const dispatch::Weight* weight : output.weights) {
      CHECK(weight->view.n_cols == inputs.n_in);
      CHECK(weight->view.n_rows * n == output.n_out * args.routing.n_experts);
      inputs.forms.add(ActivationForms::of(own(weight).kernels->input));
    }
  }
  return inputs;
}

// Once, however many experts a row goes to.
Status ExpertProduct::quantize_inputs(const ops::ExpertMatmulArgs& args, const Inputs& inputs,
                                      ThreadPool& pool, QuantizeFn quantize) {
  const int64_t n_rows = args.x_by_place ? args.n_rows * args.routing.n_used : args.n_rows;
  QUERN_RETURN_IF_ERROR(rows_.reserve(inputs.forms, n_rows, inputs.n_in));
  const QuantizeTask task = rows_.task(inputs.forms, args.x, args.x_stride, 0, inputs.n_in);
  pool.parallel_for(n_rows, rows_per_piece(inputs.n_in),
                    [&](int64_t begin, int64_t end, int) { quantize(task, begin, end); });
  return ok_status();
}

// Lays the rows of each expert side by side.
Status ExpertProduct::group_inputs(const ops::ExpertMatmulArgs& args, const Inputs& inputs,
                                   ThreadPool& pool) {
  const int64_t n_places = args.n_rows * args.routing.n_used;
  const auto bytes = checked_mul(static_cast<uint64_t>(n_places),
                                 static_cast<uint64_t>(inputs.n_in) * sizeof(float));
  if (!bytes) return Error(ErrorKind::kOutOfMemory, "The batch is too large for its experts.");
  QUERN_RETURN_IF_ERROR(grouped_.reserve(inputs.forms, n_places, inputs.n_in));
  if (inputs.forms.floats)
    QUERN_RETURN_IF_ERROR(grouped_floats_.reserve(*bytes, "inputs of experts"));
  auto* const floats = reinterpret_cast<float*>(grouped_floats_.data());
  pool.parallel_for(n_places, rows_per_piece(inputs.n_in), [&](int64_t begin, int64_t end, int) {
    for (int64_t place = begin; place < end; ++place) {
      const int64_t row = args.routing.sources[place];
      grouped_.copy_row(inputs.forms, rows_, row, place, inputs.n_in);
      if (inputs.forms.floats) {
        std::copy_n(args.x + row * args.x_stride, inputs.n_in, floats + place * inputs.n_in);
      }
    }
  });
  return ok_status();
}

void ExpertProduct::list_jobs(const ops::ExpertMatmulArgs& args, const Inputs& inputs) {
  const bool own_rows = has_own_rows(args);
  const bool one_row = !args.x_by_place && args.n_rows == 1;
  const ActivationStore& quantized = own_rows ? rows_ : grouped_;
  const float* plain = own_rows ? args.x : reinterpret_cast<const float*>(grouped_floats_.data());
  const int64_t plain_stride = own_rows ? args.x_stride : inputs.n_in;
  jobs_.clear();
  for (int64_t expert = 0; expert < args.routing.n_experts; ++expert) {
    const int64_t first = args.routing.firsts[expert];
    const int64_t n_rows = args.routing.firsts[expert + 1] - first;
    if (n_rows == 0) continue;
    const int64_t first_input = one_row ? 0 : first;
    for (const ops::ExpertOutput& output : args.outputs) {
      const ExpertMatrix matrix = matrix_of(output, expert);
      MatmulTask task = task_of(output, matrix);
      task.n_rows = n_rows;
      task.y = output.y + first * output.y_stride;
      if (task.format == nullptr) {
        task.x = plain + first_input * plain_stride;
        task.x_stride = plain_stride;
      } else if (task.format->super_blocks) {
        task.xs = from_row(quantized.super_rows(), first_input);
      } else {
        task.xq = from_row(quantized.rows(), first_input);
      }
      jobs_.add(task, n_rows == 1 ? matrix.weight->matmul_one : matrix.weight->matmul);
    }
  }
}

Status ExpertProduct::run(const ops::ExpertMatmulArgs& args, ThreadPool& pool,
                          WorkerScratch& workers, QuantizeFn quantize) {
  if (args.n_rows <= 0 || args.outputs.empty()) return ok_status();
  const Inputs inputs = inputs_of(args);
  QUERN_RETURN_IF_ERROR(workers.reserve_matmul(inputs.forms.floats ? inputs.n_in : 0));
  if (inputs.forms.quantized()) {
    QUERN_RETURN_IF_ERROR(quantize_inputs(args, inputs, pool, quantize));
  }
  if (!has_own_rows(args)) QUERN_RETURN_IF_ERROR(group_inputs(args, inputs, pool));
  list_jobs(args, inputs);
  const int64_t unit_products = kPanelRows * inputs.n_in;
  const int64_t smallest = (kPieceProducts + unit_products - 1) / unit_products;
  const int64_t even = jobs_.length() / (kPiecesPerThread * pool.n_threads());
  pool.parallel_for(jobs_.length(), std::max(smallest, even),
                    [&](int64_t begin, int64_t end, int worker) {
                      jobs_.run(begin, end, workers.matmul(worker));
                    });
  return ok_status();
}

}  // namespace quern::cpu
