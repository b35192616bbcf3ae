// Runs one sequence through a model in chunks of chosen sizes and collects the logits of every
// position: what golden, chunking and decode tests share.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend/backend.h"
#include "models/graph/adapter.h"
#include "models/graph/forward.h"
#include "models/graph/weights.h"

namespace quern::tests_support {

struct RunnerOptions {
  ops::KvFormat kv_format = ops::KvFormat::kF32;
  int32_t max_tokens = 64;  // of a step
  int32_t max_positions = 512;
  std::vector<std::shared_ptr<const graph::AdapterWeights>> adapters = {};
  std::vector<ops::AdapterUse> uses = {};  // of the sequence
};

// Owns pages and scratch for one sequence. Pages are handed out in descending order, so that a
// kernel that ignores the page table fails.
class SequenceRunner {
 public:
  static Result<std::unique_ptr<SequenceRunner>> create(
      backend::Backend& backend, std::shared_ptr<const graph::DecoderWeights> weights,
      const RunnerOptions& options = {});

  // Feeds tokens in steps of `chunk` and appends the logits of all of them: [tokens, n_vocab].
  Status feed(std::span<const int32_t> tokens, int32_t chunk, std::vector<float>& logits);
  // One step without logits.
  Status feed_silently(std::span<const int32_t> tokens);
  // One step; logits of the last token only.
  Result<std::vector<float>> feed_for_last(std::span<const int32_t> tokens);

  int32_t position() const { return position_; }

 private:
  SequenceRunner() = default;
  Status step(std::span<const int32_t> tokens, std::span<const int32_t> outputs,
              std::span<float> logits);

  std::shared_ptr<const graph::DecoderWeights> weights_;
  std::unique_ptr<graph::KvStorage> storage_;
  std::unique_ptr<graph::ForwardPass> forward_;
  std::vector<int32_t> pages_;
  std::vector<ops::AdapterUse> uses_;
  int32_t position_ = 0;
};

}  // namespace quern::tests_support
