// A backend that shows the input of every matrix product, those of experts too, to an observer and
// otherwise is the backend behind it: for tools that look at activations. Costs nothing where it is
// not used.
//
// The observer reads input and routing as host memory, and sees them before the product runs: for
// backends that compute in the caller's memory and in order, as the CPU's does.
#pragma once

#include <functional>
#include <utility>

#include "kernels/backend/backend.h"

namespace quern::backend {

class ObservedBackend final : public Backend {
 public:
  struct Observer {
    std::function<void(const ops::MatmulArgs&)> matmul;
    std::function<void(const ops::ExpertMatmulArgs&)> expert_matmul;
  };

  // `inner` must outlive this.
  ObservedBackend(Backend& inner, Observer observer)
      : inner_(inner), observer_(std::move(observer)) {}

  std::string_view name() const override { return inner_.name(); }
  Result<std::unique_ptr<Buffer>> allocate(size_t bytes, std::string_view what) override {
    return inner_.allocate(bytes, what);
  }
  Result<std::unique_ptr<const dispatch::Weight>> load_weight(const tensor::TensorView& view,
                                                              std::string_view name) override {
    return inner_.load_weight(view, name);
  }
  Result<std::unique_ptr<Buffer>> load_floats(const float* values, size_t n,
                                              std::string_view name) override {
    return inner_.load_floats(values, n, name);
  }
  std::vector<std::string> explain() const override { return inner_.explain(); }

  void matmul(const ops::MatmulArgs& args) override {
    observer_.matmul(args);
    inner_.matmul(args);
  }

  Status begin_step(const ops::StepInputs& inputs) override { return inner_.begin_step(inputs); }
  void gather(const ops::GatherArgs& args) override { inner_.gather(args); }
  void rms_norm(const ops::RmsNormArgs& args) override { inner_.rms_norm(args); }
  void rope_table(const ops::RopeTableArgs& args) override { inner_.rope_table(args); }
  void rope(const ops::RopeArgs& args) override { inner_.rope(args); }
  void kv_store(const ops::KvStoreArgs& args) override { inner_.kv_store(args); }
  void attention(const ops::AttentionArgs& args) override { inner_.attention(args); }
  void gated_activation(const ops::GatedActivationArgs& args) override {
    inner_.gated_activation(args);
  }
  void add(const ops::AddArgs& args) override { inner_.add(args); }
  void scale(const ops::ScaleArgs& args) override { inner_.scale(args); }
  void softcap(const ops::SoftcapArgs& args) override { inner_.softcap(args); }
  void route(const ops::RouteArgs& args) override { inner_.route(args); }
  void expert_matmul(const ops::ExpertMatmulArgs& args) override {
    observer_.expert_matmul(args);
    inner_.expert_matmul(args);
  }
  void expert_combine(const ops::ExpertCombineArgs& args) override { inner_.expert_combine(args); }
  void read_back(const float* device, float* host, size_t n) override {
    inner_.read_back(device, host, n);
  }
  void select_outputs(const float* x, int64_t n_cols, float* y) override {
    inner_.select_outputs(x, n_cols, y);
  }
  Status finish_step() override { return inner_.finish_step(); }

 private:
  Backend& inner_;
  Observer observer_;
};

}  // namespace quern::backend
