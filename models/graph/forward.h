// The one decoder loop: walks an architecture's block recipe for the tokens of a step.
//
// Knows no request and no file. Everything mutable (scratch, KV pages) is handed in or owned here;
// weights are immutable and shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "kernels/ops/ops.h"

namespace quern::graph {

struct AdapterWeights;  // models/graph/adapter.h: low-rank deltas of some linear layers
struct DecoderWeights;  // models/graph/weights.h: hyper-parameters, recipe and loaded tensors

// Tokens per KV page. Attention runs its online softmax over chunks of this many positions counted
// from position 0, so the value is part of the reproducibility contract.
inline constexpr int32_t kPageTokens = 32;

// Keys and values of all layers in pages: the memory only; who owns which page is the engine's
// business (engine/kv).
class KvStorage {
 public:
  // bytes_per_page() * n_pages bytes; an out-of-memory error says what was asked and for what.
  static Result<std::unique_ptr<KvStorage>> create(backend::Backend& backend,
                                                   const DecoderWeights& weights,
                                                   ops::KvFormat format, int32_t n_pages);
  static uint64_t bytes_per_page(const DecoderWeights& weights, ops::KvFormat format);
  virtual ~KvStorage() = default;

  virtual ops::KvLayerView layer(int index) = 0;
  // Whole pages, between steps: `to` becomes equal to `from` in all layers; all layers of a page to
  // and from bytes_per_page() bytes, whose order is this storage's own.
  virtual void copy_page(int32_t from, int32_t to) = 0;
  virtual void read_page(int32_t page, std::span<std::byte> out) = 0;
  virtual void write_page(int32_t page, std::span<const std::byte> bytes) = 0;
  virtual int32_t n_pages() const = 0;
  virtual ops::KvFormat format() const = 0;
};

class ForwardPass {
 public:
  // Scratch for steps of up to `max_tokens` tokens of which up to `max_outputs` want logits.
  // `adapters`, bound to these weights, are what ops::AdapterUse counts; a sequence that names none
  // is computed as if there were none, bit for bit.
  static Result<std::unique_ptr<ForwardPass>> create(
      backend::Backend& backend, std::shared_ptr<const DecoderWeights> weights, int32_t max_tokens,
      int32_t max_outputs, std::vector<std::shared_ptr<const AdapterWeights>> adapters = {});
  virtual ~ForwardPass() = default;

  // Runs one step. logits: [inputs.outputs.size(), vocab_size], host memory, row i for the token
  // inputs.outputs[i]. On error no sequence of the step has advanced.
  virtual Status run(const ops::StepInputs& inputs, KvStorage& cache, std::span<float> logits) = 0;
  virtual uint64_t scratch_bytes() const = 0;
};

}  // namespace quern::graph
