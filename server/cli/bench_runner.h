// Times a model's forward pass for given prompts, batches and context depths: no server, no
// scheduler, no sampling.
//
// Tokens are random but the same each time. The context before depth d is computed once, for the
// first sequence, and its pages are then copied to the others: the time of a step does not depend
// on what the pages hold, but each sequence must read memory of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/graph/forward.h"

namespace quern::cli {

struct BenchCase {
  enum class Kind : uint8_t { kPrefill, kDecode };
  Kind kind = Kind::kPrefill;
  int32_t tokens = 1;  // of the prompt, or steps of each sequence
  int32_t batch = 1;   // sequences; 1 for prefill
  int32_t depth = 0;   // tokens in the context before

  int64_t all_tokens() const { return int64_t{tokens} * batch; }
};

struct BenchSize {
  ops::KvFormat kv_format = ops::KvFormat::kF16;
  int32_t max_step_tokens = 256;  // chunks of a prompt
};

class BenchRunner {
 public:
  // Memory for the largest of `cases`. `backend` must outlive the runner.
  static Result<std::unique_ptr<BenchRunner>> create(
      backend::Backend& backend, std::shared_ptr<const graph::DecoderWeights> weights,
      const BenchSize& size, std::span<const BenchCase> cases);

  // Brings the context to the case's depth; its own time is not measured.
  Status prepare(const BenchCase& bench);
  // Seconds of the case after prepare(). Prefill wants the logits of its last token, decode those
  // of every sequence.
  Result<double> run(const BenchCase& bench);

  uint64_t kv_bytes() const { return kv_bytes_; }
  uint64_t scratch_bytes() const { return forward_->scratch_bytes(); }

 private:
  BenchRunner() = default;
  Status prefill(int32_t first, int32_t n_tokens, bool want_logits);
  Status decode_step(int32_t batch, int32_t position);
  void copy_first_sequence(int32_t depth, int32_t batch);
  int32_t next_token();

  std::shared_ptr<const graph::DecoderWeights> weights_;
  std::unique_ptr<graph::KvStorage> storage_;
  std::unique_ptr<graph::ForwardPass> forward_;
  int32_t max_step_tokens_ = 1;
  int32_t pages_each_ = 0;
  uint64_t kv_bytes_ = 0;
  uint64_t bytes_per_half_page_ = 0;         // keys, or values, of one layer
  std::vector<std::vector<int32_t>> pages_;  // of each sequence
  std::vector<int32_t> tokens_;
  std::vector<int32_t> outputs_;
  std::vector<ops::SequenceSlice> slices_;
  std::vector<float> logits_;
  uint64_t draws_ = 0;
  // Positions below these hold a context: of the first sequence, and of the first copied_batch_.
  // Later runs may overwrite them with another one, which is as good.
  int32_t filled_ = 0;
  int32_t copied_depth_ = 0;
  int32_t copied_batch_ = 1;
};

}  // namespace quern::cli
