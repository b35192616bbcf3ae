// A low-rank adapter bound to the weights of one model: y = W x + scale * B (A x) for some of its
// linear layers.
//
// Built by models/loader, immutable and shared afterwards. Source: Hu et al. 2021 (LoRA).
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "kernels/dispatch/kernel_row.h"

namespace quern::graph {

// What is added to one linear layer.
struct LowRank {
  std::unique_ptr<const dispatch::Weight> a;  // [rank, n_in]
  std::unique_ptr<const dispatch::Weight> b;  // [n_out, rank]
  float scale = 1;                            // alpha / rank

  int64_t rank() const { return a->view.n_rows; }
  int64_t n_out() const { return b->view.n_rows; }
};

struct DecoderWeights;

struct AdapterWeights {
  const DecoderWeights* base = nullptr;  // what it is bound to
  // By the weight W of the model's layer, whose shape they fit.
  std::unordered_map<const dispatch::Weight*, LowRank> deltas;
  // Whatever owns the bytes that the deltas borrow, and the model's weights.
  std::shared_ptr<const void> storage;

  // Null when the layer is as the model has it.
  const LowRank* find(const dispatch::Weight* weight) const {
    const auto found = deltas.find(weight);
    return found == deltas.end() ? nullptr : &found->second;
  }
};

}  // namespace quern::graph
