// The seam between the engine's bookkeeping and whatever computes a step: the model, or a fake in
// tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "config/base/result.h"
#include "engine/kv/page_pool.h"
#include "kernels/ops/ops.h"

namespace quern::engine {

class StepRunner {
 public:
  virtual ~StepRunner() = default;

  // As graph::ForwardPass::run. logits: [inputs.outputs.size(), n_vocab]. An error fails the
  // sequences of this step only.
  virtual Status run(const ops::StepInputs& inputs, std::span<float> logits) = 0;
  // Makes one page of keys and values equal to another, between steps.
  virtual void copy_page(PageId from, PageId to) = 0;
  // One page of keys and values, all layers, in an order of its own; between steps.
  virtual uint64_t page_bytes() const = 0;
  virtual void read_page(PageId page, std::span<std::byte> out) = 0;
  virtual void write_page(PageId page, std::span<const std::byte> bytes) = 0;
  // An error once nothing that run() returned can be trusted any more: the model is gone. Sticky.
  virtual Status check_model() const = 0;
};

}  // namespace quern::engine
