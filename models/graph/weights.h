// The loaded tensors of a decoder, with the numbers and the recipe that say how to use them.
//
// Built once by models/loader, immutable and shared afterwards. Matrices may borrow the bytes of a
// file mapping, which `storage` keeps alive.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend/backend.h"
#include "models/arch/arch_spec.h"

namespace quern::graph {

// f32 values on the device; empty when the model has no such tensor.
struct FloatVector {
  std::unique_ptr<backend::Buffer> buffer;

  bool empty() const { return buffer == nullptr; }
  const float* data() const {
    return buffer == nullptr ? nullptr : reinterpret_cast<const float*>(buffer->data());
  }
};

// y = x * weight^T + bias; bias may be empty.
struct Linear {
  std::unique_ptr<const dispatch::Weight> weight;
  FloatVector bias;

  int64_t n_out() const { return weight->view.n_rows; }
};

// One linear layer for each expert, [n_out, n_in] each: all in one weight, one below the other, or
// a weight for each.
struct ExpertLinear {
  std::vector<std::unique_ptr<const dispatch::Weight>> owned;
  std::vector<const dispatch::Weight*> weights;
  int64_t n_out = 0;
};

// The feed-forward part of a layer with experts.
struct ExpertWeights {
  Linear router;  // [n_experts, n_embedding]
  ExpertLinear gate;
  ExpertLinear up;
  ExpertLinear down;
  // The expert that every token uses; no weights when there is none.
  Linear shared_input;                 // [1, n_embedding]: its output's gate
  std::vector<Linear> shared_gate_up;  // gate, up
  Linear shared_down;

  bool has_shared() const { return shared_down.weight != nullptr; }
};

struct LayerWeights {
  FloatVector attention_norm;       // [n_embedding]
  FloatVector query_norm;           // [head_dim] or empty
  FloatVector key_norm;             // [head_dim] or empty
  std::vector<Linear> qkv;          // query, key, value; or the three fused in one
  Linear attention_output;          // [n_embedding, query_width]
  FloatVector attention_post_norm;  // [n_embedding] or empty
  FloatVector ffn_norm;             // [n_embedding]
  std::vector<Linear> gate_up;      // gate, up; or both fused in one; empty with experts
  Linear down;                      // [n_embedding, n_feed_forward]
  std::unique_ptr<const ExpertWeights> experts;  // null: dense
  FloatVector ffn_post_norm;                     // [n_embedding] or empty
  int32_t window = 0;                            // positions that attention sees; 0: all
};

struct DecoderWeights {
  arch::HyperParams hyper;
  arch::BlockRecipe recipe;

  Linear token_embedding;         // [n_vocab, n_embedding]
  Linear separate_output;         // [n_vocab, n_embedding]; no weight when tied
  FloatVector output_norm;        // [n_embedding]
  FloatVector inverse_frequency;  // [n_rot / 2], see rope_scaling.h
  float rope_magnitude = 1;
  std::vector<LayerWeights> layers;

  // Whatever owns the bytes that the weights borrow.
  std::shared_ptr<const void> storage;

  const dispatch::Weight* output() const {
    return separate_output.weight != nullptr ? separate_output.weight.get()
                                             : token_embedding.weight.get();
  }
};

}  // namespace quern::graph
