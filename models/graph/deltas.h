// What adapters add to the linear layers of a step, for the rows of the sequences that use them.
//
// Rows of one adapter and scale that lie side by side go through its matrices together. All of it
// is matrix products, scalings and sums of the backend, each of which computes a row by itself, so
// a row's bits depend on its own adapters only. A step without adapters costs nothing here.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/graph/adapter.h"
#include "models/graph/weights.h"

namespace quern::graph {

using AdapterList = std::vector<std::shared_ptr<const AdapterWeights>>;

class Deltas {
 public:
  // For steps of up to `max_tokens` tokens of which up to `max_outputs` want logits; `adapters` are
  // bound to `weights`. Both must outlive it, as must `backend`. Errors: memory.
  static Result<std::unique_ptr<Deltas>> create(backend::Backend& backend,
                                                const DecoderWeights& weights, AdapterList adapters,
                                                int32_t max_tokens, int32_t max_outputs);

  // A step begins. Its sequences name adapters that are in the list.
  void begin(const ops::StepInputs& inputs);
  // Whether anything is added to this layer in this step.
  bool change(const Linear& linear) const { return change(linear.weight.get()); }
  // y[row] += the deltas of the layer for x[row], where y is already the layer's own output. n_rows
  // is the number of the step's tokens, or of its outputs, whose rows these are.
  void add(const dispatch::Weight* weight, const float* x, int64_t x_stride, float* y,
           int64_t y_stride, int64_t n_rows);

  uint64_t scratch_bytes() const { return scratch_->size(); }

 private:
  // Neighbouring rows with the same use of an adapter.
  struct Run {
    int32_t adapter;
    float scale;
    int64_t first_row;
    int64_t n_rows;
  };

  Deltas(backend::Backend& backend, AdapterList adapters)
      : backend_(backend), adapters_(std::move(adapters)) {}
  bool change(const dispatch::Weight* weight) const;
  void add_run(const Run& run, const LowRank& delta, const float* x, int64_t x_stride, float* y,
               int64_t y_stride);
  void multiply(const dispatch::Weight& weight, const float* x, int64_t x_stride, float* y,
                int64_t n_rows);

  backend::Backend& backend_;
  AdapterList adapters_;
  std::unique_ptr<backend::Buffer> scratch_;
  float* low_ = nullptr;      // [rows, rank]
  float* product_ = nullptr;  // [rows, n_out]
  int64_t n_tokens_ = 0;
  std::vector<Run> all_;       // of the step's tokens, ascending by adapter, then by row
  std::vector<Run> selected_;  // of its outputs
};

}  // namespace quern::graph
