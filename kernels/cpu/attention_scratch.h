// Working memory of one attention item (a tile of tokens and one kv head): sizes and layout.
//
// Shared by the backend, which allocates it, and the kernels. Always inlined, since the kernels are
// compiled per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops/ops.h"

namespace quern::cpu {

// Query i is head i % group of token i / group of the tile. All parts are whole vectors of 16.
struct AttentionScratch {
  float* keys;     // [head_dim][page_tokens]
  float* values;   // [page_tokens][padded(head_dim)]
  float* output;   // [n_queries][padded(head_dim)], not yet divided by the sum
  float* lanes;    // [n_queries][16], partial sums of the softmax
  float* weights;  // [n_queries][page_tokens], scores, then their exponentials
  float* maximum;  // [n_queries]

  __attribute__((always_inline)) static int64_t padded(int64_t values) {
    return (values + 15) / 16 * 16;
  }

  __attribute__((always_inline)) static int64_t floats(const ops::KvLayerView& cache,
                                                       int64_t n_queries) {
    const int64_t dim = padded(cache.head_dim);
    const int64_t per_query = dim + 16 + cache.page_tokens;
    return 2 * dim * cache.page_tokens + n_queries * per_query + padded(n_queries);
  }

  __attribute__((always_inline)) static AttentionScratch carve(const ops::KvLayerView& cache,
                                                               int64_t n_queries,
                                                               std::byte* memory) {
    const int64_t dim = padded(cache.head_dim);
    AttentionScratch scratch{};
    scratch.keys = reinterpret_cast<float*>(memory);
    scratch.values = scratch.keys + dim * cache.page_tokens;
    scratch.output = scratch.values + dim * cache.page_tokens;
    scratch.lanes = scratch.output + n_queries * dim;
    scratch.weights = scratch.lanes + n_queries * 16;
    scratch.maximum = scratch.weights + n_queries * cache.page_tokens;
    return scratch;
  }
};

}  // namespace quern::cpu
