// Router, chosen experts, shared expert, weighted sum. The outputs of the chosen experts stay in
// the order of their places (ops::ExpertRouting) until they are joined.
#include "models/graph/block_experts.h"

#include <array>

namespace quern::graph {
namespace {

class ExpertBlock {
 public:
  ExpertBlock(backend::Backend& backend, const DecoderWeights& weights,
              const ExpertWeights& experts, const Scratch& scratch, int64_t n_rows)
      : backend_(backend),
        hyper_(weights.hyper),
        recipe_(weights.recipe),
        experts_(experts),
        scratch_(scratch),
        n_rows_(n_rows) {}

  void run() {
    choose();
    multiply_chosen();
    if (experts_.has_shared()) multiply_shared();
    backend_.expert_combine({.x = scratch_.expert_outputs,
                             .routing = scratch_.routing,
                             .shared = scratch_.shared_output,
                             .shared_gate = scratch_.shared_gate,
                             .y = scratch_.normed,
                             .n_rows = n_rows_,
                             .n_cols = hyper_.n_embedding});
  }

 private:
  void choose() {
    multiply(experts_.router, scratch_.normed, hyper_.n_embedding, scratch_.router_logits);
    backend_.route({.logits = scratch_.router_logits,
                    .n_rows = n_rows_,
                    .normalize = recipe_.experts.normalize_weights,
                    .routing = scratch_.routing});
  }

  void multiply_chosen() {
    const int64_t width = hyper_.n_expert_feed_forward;
    const int64_t stride = 2 * width;
    const std::array<ops::ExpertOutput, 2> gate_up = {
        output(experts_.gate, scratch_.gate_up, stride),
        output(experts_.up, scratch_.gate_up + width, stride)};
    backend_.expert_matmul({.x = scratch_.normed,
                            .x_stride = hyper_.n_embedding,
                            .x_by_place = false,
                            .n_rows = n_rows_,
                            .routing = scratch_.routing,
                            .outputs = gate_up});
    activate(width, n_rows_ * hyper_.n_experts_used);
    const std::array<ops::ExpertOutput, 1> down = {
        output(experts_.down, scratch_.expert_outputs, hyper_.n_embedding)};
    backend_.expert_matmul({.x = scratch_.gate_up,
                            .x_stride = stride,
                            .x_by_place = true,
                            .n_rows = n_rows_,
                            .routing = scratch_.routing,
                            .outputs = down});
  }

  void multiply_shared() {
    const int64_t width = hyper_.n_shared_feed_forward;
    const int64_t stride = 2 * width;
    const std::array<ops::MatmulOutput, 3> outputs = {
        plain_output(experts_.shared_gate_up[0], scratch_.gate_up, stride),
        plain_output(experts_.shared_gate_up[1], scratch_.gate_up + width, stride),
        plain_output(experts_.shared_input, scratch_.shared_gate, 1)};
    backend_.matmul({.x = scratch_.normed,
                     .x_stride = hyper_.n_embedding,
                     .n_rows = n_rows_,
                     .outputs = outputs});
    activate(width, n_rows_);
    multiply(experts_.shared_down, scratch_.gate_up, stride, scratch_.shared_output);
  }

  // Rows of gate and up side by side; the product takes the gate's place.
  void activate(int64_t width, int64_t n_rows) {
    backend_.gated_activation({.activation = recipe_.activation,
                               .gate = scratch_.gate_up,
                               .gate_stride = 2 * width,
                               .up = scratch_.gate_up + width,
                               .up_stride = 2 * width,
                               .y = scratch_.gate_up,
                               .y_stride = 2 * width,
                               .n_rows = n_rows,
                               .n_cols = width});
  }

  void multiply(const Linear& linear, const float* x, int64_t x_stride, float* y) {
    const std::array<ops::MatmulOutput, 1> outputs = {plain_output(linear, y, linear.n_out())};
    backend_.matmul({.x = x, .x_stride = x_stride, .n_rows = n_rows_, .outputs = outputs});
  }

  static ops::MatmulOutput plain_output(const Linear& linear, float* y, int64_t y_stride) {
    return {.weight = linear.weight.get(), .bias = nullptr, .y = y, .y_stride = y_stride};
  }
  static ops::ExpertOutput output(const ExpertLinear& linear, float* y, int64_t y_stride) {
    return {.weights = linear.weights, .n_out = linear.n_out, .y = y, .y_stride = y_stride};
  }

  backend::Backend& backend_;
  const arch::HyperParams& hyper_;
  const arch::BlockRecipe& recipe_;
  const ExpertWeights& experts_;
  const Scratch& scratch_;
  int64_t n_rows_;
};

}  // namespace

void run_experts(backend::Backend& backend, const DecoderWeights& weights,
                 const ExpertWeights& experts, const Scratch& scratch, int64_t n_rows) {
  ExpertBlock(backend, weights, experts, scratch, n_rows).run();
}

}  // namespace quern::graph
