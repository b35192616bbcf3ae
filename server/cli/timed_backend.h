// A backend that passes everything on to another one and adds up how long each operation took.
//
// For `quern bench --operations`. Operations of the inner backend must have run when they return,
// as on the CPU. A clock read before and after each operation costs some 50 ns.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/backend/backend.h"

namespace quern::cli {

// Where the time of steps went. Nanoseconds; `outside` is the time between the begin and the end of
// steps that no operation took.
struct StepTimes {
  struct Part {
    int64_t calls = 0;
    int64_t ns = 0;
  };
  std::array<Part, static_cast<size_t>(ops::OpId::kCount)> ops;
  Part copies;  // logits to the host, chosen rows
  int64_t steps = 0;
  int64_t step_ns = 0;

  int64_t outside_ns() const;
  StepTimes operator-(const StepTimes& earlier) const;
  StepTimes operator+(const StepTimes& more) const;
};

class TimedBackend final : public backend::Backend {
 public:
  // `inner` must outlive this.
  explicit TimedBackend(backend::Backend& inner) : inner_(inner) {}

  const StepTimes& times() const { return times_; }

  std::string_view name() const override { return inner_.name(); }
  Result<std::unique_ptr<backend::Buffer>> allocate(size_t bytes, std::string_view what) override {
    return inner_.allocate(bytes, what);
  }
  Result<std::unique_ptr<const dispatch::Weight>> load_weight(const tensor::TensorView& view,
                                                              std::string_view name) override {
    return inner_.load_weight(view, name);
  }
  Result<std::unique_ptr<backend::Buffer>> load_floats(const float* values, size_t n,
                                                       std::string_view name) override {
    return inner_.load_floats(values, n, name);
  }
  std::vector<std::string> explain() const override { return inner_.explain(); }

  Status begin_step(const ops::StepInputs& inputs) override;
  void gather(const ops::GatherArgs& args) override;
  void matmul(const ops::MatmulArgs& args) override;
  void gated_matmul(const ops::GatedMatmulArgs& args) override;
  void rms_norm(const ops::RmsNormArgs& args) override;
  void rope_table(const ops::RopeTableArgs& args) override;
  void rope(const ops::RopeArgs& args) override;
  void kv_store(const ops::KvStoreArgs& args) override;
  void attention(const ops::AttentionArgs& args) override;
  void gated_activation(const ops::GatedActivationArgs& args) override;
  void add(const ops::AddArgs& args) override;
  void scale(const ops::ScaleArgs& args) override;
  void softcap(const ops::SoftcapArgs& args) override;
  void route(const ops::RouteArgs& args) override;
  void expert_matmul(const ops::ExpertMatmulArgs& args) override;
  void expert_combine(const ops::ExpertCombineArgs& args) override;
  void read_back(const float* device, float* host, size_t n) override;
  void select_outputs(const float* x, int64_t n_cols, float* y) override;
  Status finish_step() override;

 private:
  backend::Backend& inner_;
  StepTimes times_;
  int64_t step_began_ = 0;
};

}  // namespace quern::cli
