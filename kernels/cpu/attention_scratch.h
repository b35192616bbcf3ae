// Working memory of one attention item (a tile of tokens and one kv head): sizes and layout.
//
// Shared by the backend, which allocates it, and the kernels. Always inlined, since the kernels are
// compiled per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops/ops.h"

namespace quern::cpu {

// Positions are cut into spans of this many, counted from position 0. Each span has an online
// softmax of its own, so that the spans of a long context can be computed at the same time; they
// are joined in ascending order. Part of the reproducibility contract.
inline constexpr int32_t kSpanPositions = 1024;

__attribute__((always_inline)) inline int64_t whole_vectors(int64_t values) {
  return (values + 15) / 16 * 16;
}

// The softmax of n queries over some positions. Query i is head i % group of token i / group of the
// tile. All parts are whole vectors of 16.
struct SoftmaxState {
  float* output;   // [n_queries][whole_vectors(head_dim)], not yet divided by the sum
  float* lanes;    // [n_queries][16], partial sums
  float* maximum;  // [n_queries], -infinity: nothing seen

  __attribute__((always_inline)) static int64_t floats(int64_t head_dim, int64_t n_queries) {
    return n_queries * (whole_vectors(head_dim) + 16) + whole_vectors(n_queries);
  }
  __attribute__((always_inline)) static SoftmaxState carve(int64_t head_dim, int64_t n_queries,
                                                           float* memory) {
    SoftmaxState state{};
    state.output = memory;
    state.lanes = state.output + n_queries * whole_vectors(head_dim);
    state.maximum = state.lanes + n_queries * 16;
    return state;
  }
};

struct AttentionScratch {
  float* keys;         // [head_dim][page_tokens]
  float* values;       // [page_tokens][whole_vectors(head_dim)]
  float* weights;      // [n_queries][page_tokens], scores, then their exponentials
  SoftmaxState total;  // of the spans so far
  SoftmaxState span;   // of one span

  __attribute__((always_inline)) static int64_t floats(const ops::KvLayerView& cache,
                                                       int64_t n_queries) {
    return 2 * whole_vectors(cache.head_dim) * cache.page_tokens + n_queries * cache.page_tokens +
           2 * SoftmaxState::floats(cache.head_dim, n_queries);
  }

  __attribute__((always_inline)) static AttentionScratch carve(const ops::KvLayerView& cache,
                                                               int64_t n_queries,
                                                               std::byte* memory) {
    const int64_t dim = whole_vectors(cache.head_dim);
    AttentionScratch scratch{};
    scratch.keys = reinterpret_cast<float*>(memory);
    scratch.values = scratch.keys + dim * cache.page_tokens;
    scratch.weights = scratch.values + dim * cache.page_tokens;
    float* states = scratch.weights + n_queries * cache.page_tokens;
    scratch.total = SoftmaxState::carve(cache.head_dim, n_queries, states);
    states += SoftmaxState::floats(cache.head_dim, n_queries);
    scratch.span = SoftmaxState::carve(cache.head_dim, n_queries, states);
    return scratch;
  }
};

}  // namespace quern::cpu
