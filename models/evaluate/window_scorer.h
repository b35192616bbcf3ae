// Runs windows of a text through a model and hands out the logits of the positions that are scored.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/evaluate/windows.h"
#include "models/graph/forward.h"
#include "models/loader/adapter.h"
#include "models/loader/model.h"

namespace quern::evaluate {

// Consecutive scored positions of a window.
struct ScoredRows {
  std::span<const TokenId> targets;  // [n]: the token that follows each position
  std::span<const float> logits;     // [n, n_vocab]
};

// An adapter that the model is scored with.
struct ScoredAdapter {
  std::shared_ptr<const loader::Adapter> adapter;  // bound to the model
  float scale = 1;
};

class WindowScorer {
 public:
  struct Options {
    int32_t context = 512;
    int32_t max_step_tokens = 256;
    ops::KvFormat kv_format = ops::KvFormat::kF16;
    std::vector<ScoredAdapter> adapters = {};
  };
  // `backend` must outlive the scorer. Errors: memory.
  static Result<std::unique_ptr<WindowScorer>> create(backend::Backend& backend,
                                                      std::shared_ptr<const loader::Model> model,
                                                      const Options& options);

  // `take` gets all rows from position first_scored up to the last but one, in order, some at a
  // time; they are valid during the call. Errors: of the step, and of a file that was pulled away.
  Status run(std::span<const TokenId> window, int32_t first_scored,
             const std::function<void(const ScoredRows&)>& take);

  int64_t n_vocab() const { return model_->facts().n_vocab; }

 private:
  WindowScorer() = default;
  Status step(std::span<const TokenId> window, int32_t position, int32_t n, int32_t first_scored,
              const std::function<void(const ScoredRows&)>& take);

  std::shared_ptr<const loader::Model> model_;
  std::unique_ptr<graph::KvStorage> storage_;
  std::unique_ptr<graph::ForwardPass> forward_;
  std::vector<ops::AdapterUse> adapters_;
  int32_t max_step_tokens_ = 0;
  std::vector<int32_t> pages_;
  std::vector<int32_t> outputs_;
  std::vector<float> logits_;
};

}  // namespace quern::evaluate
