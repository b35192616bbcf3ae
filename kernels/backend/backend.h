// The seam between models and devices: memory, weights and operations of one backend.
//
// Models and the engine see only this interface. A backend is used from one thread at a time (the
// engine's). Operations may run asynchronously; they never fail one by one: trouble is recorded and
// surfaces as the Status of finish_step(), which fails the sequences of that step and not the
// process.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "kernels/dispatch/kernel_row.h"
#include "kernels/ops/ops.h"
#include "kernels/tensor/tensor_view.h"

namespace quern::backend {

// Device memory, released with the object. data() is a device pointer.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual std::byte* data() = 0;
  virtual size_t size() const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;

  // Zero-filled memory, 64-byte aligned. `what` names it in the error ("KV cache").
  virtual Result<std::unique_ptr<Buffer>> allocate(size_t bytes, std::string_view what) = 0;

  // Prepares a weight for gather and matmul and picks its kernel row. On the CPU the view's bytes
  // are borrowed and must outlive the weight. An error when a forced row does not fit.
  virtual Result<std::unique_ptr<const dispatch::Weight>> load_weight(
      const tensor::TensorView& view, std::string_view name) = 0;
  // Copies `n` f32 values to the device (norm weights, biases, frequency tables).
  virtual Result<std::unique_ptr<Buffer>> load_floats(const float* values, size_t n,
                                                      std::string_view name) = 0;

  // One line per (op, format) in use: the row chosen and why better ones were not.
  virtual std::vector<std::string> explain() const = 0;

  virtual Status begin_step(const ops::StepInputs& inputs) = 0;
  virtual void gather(const ops::GatherArgs& args) = 0;
  virtual void matmul(const ops::MatmulArgs& args) = 0;
  // The two operations that it consists of, unless a backend has something better.
  virtual void gated_matmul(const ops::GatedMatmulArgs& args) {
    const std::array outputs = {args.gate, args.up};
    matmul({args.x, args.x_stride, args.n_rows, outputs});
    gated_activation({args.activation, args.gate.y, args.gate.y_stride, args.up.y, args.up.y_stride,
                      args.y, args.y_stride, args.n_rows, args.gate.weight->view.n_rows});
  }
  virtual void rms_norm(const ops::RmsNormArgs& args) = 0;
  virtual void rope_table(const ops::RopeTableArgs& args) = 0;
  virtual void rope(const ops::RopeArgs& args) = 0;
  virtual void kv_store(const ops::KvStoreArgs& args) = 0;
  virtual void attention(const ops::AttentionArgs& args) = 0;
  virtual void gated_activation(const ops::GatedActivationArgs& args) = 0;
  virtual void add(const ops::AddArgs& args) = 0;
  virtual void scale(const ops::ScaleArgs& args) = 0;
  virtual void softcap(const ops::SoftcapArgs& args) = 0;
  virtual void route(const ops::RouteArgs& args) = 0;
  virtual void expert_matmul(const ops::ExpertMatmulArgs& args) = 0;
  virtual void expert_combine(const ops::ExpertCombineArgs& args) = 0;
  // Copies `n` floats back to the host once everything before it has run.
  virtual void read_back(const float* device, float* host, size_t n) = 0;
  // Copies the rows of x that StepInputs::outputs names to y, densely: [n_outputs, n_cols].
  virtual void select_outputs(const float* x, int64_t n_cols, float* y) = 0;
  virtual Status finish_step() = 0;
};

}  // namespace quern::backend
