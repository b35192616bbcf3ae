// The real StepRunner: a loaded model's forward pass over KV pages of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "config/base/result.h"
#include "engine/run/step_runner.h"
#include "kernels/backend/backend.h"
#include "models/graph/forward.h"
#include "models/loader/adapter.h"
#include "models/loader/model.h"

namespace quern::engine {

struct RunnerShape {
  ops::KvFormat kv_format = ops::KvFormat::kF16;
  int32_t n_pages = 0;
  int32_t max_step_tokens = 0;
  int32_t max_step_outputs = 0;
  std::vector<std::shared_ptr<const loader::Adapter>> adapters = {};  // bound to the model
};

class ModelRunner final : public StepRunner {
 public:
  // Allocates pages and scratch. `backend` must outlive the runner.
  static Result<std::unique_ptr<ModelRunner>> create(std::shared_ptr<const loader::Model> model,
                                                     backend::Backend& backend,
                                                     const RunnerShape& shape);

  Status run(const ops::StepInputs& inputs, std::span<float> logits) override;
  void copy_page(PageId from, PageId to) override { cache_->copy_page(from, to); }
  uint64_t page_bytes() const override { return page_bytes_; }
  void read_page(PageId page, std::span<std::byte> out) override { cache_->read_page(page, out); }
  void write_page(PageId page, std::span<const std::byte> bytes) override {
    cache_->write_page(page, bytes);
  }
  Status check_model() const override;

 private:
  ModelRunner() = default;

  std::shared_ptr<const loader::Model> model_;
  std::vector<std::shared_ptr<const loader::Adapter>> adapters_;
  std::unique_ptr<graph::KvStorage> cache_;
  uint64_t page_bytes_ = 0;
  std::unique_ptr<graph::ForwardPass> forward_;
};

}  // namespace quern::engine
