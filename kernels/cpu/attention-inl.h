// Paged causal attention with an online softmax, and the writing of keys and values into pages.
//
// Inside a page keys are stored transposed, [kv head][head_dim][token in page], and values as
// [kv head][token in page][head_dim]: 16 scores are then 16 lanes and need no reduction. The order
// of operations per (token, head) is written down in kernels/cpu/README.md. It depends on absolute
// positions only, so neither batch, prompt chunks, page placement nor threads change a bit.
// Sources: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018); Kwon et al.,
// "Efficient memory management for LLM serving with PagedAttention" (2023).
#pragma once

#include "kernels/cpu/attention_scratch.h"
#include "kernels/cpu/row_ops-inl.h"

namespace quern::cpu {
namespace {

QUERN_PART void narrow(const Vec& v, uint16_t* out) { v_store_f16(out, v); }
QUERN_PART void narrow(const Vec& v, float* out) { v_store(out, v); }

// Writes one token of one kv head: keys strided by the page, values contiguous.
template <typename Element>
QUERN_PART void store_head(const float* key, const float* value, int64_t dim, int64_t tokens,
                           int64_t offset, Element* key_page, Element* value_page) {
  for_vectors(0, dim, [&](int64_t i, int64_t count) {
    Element elements[kVecLanes];
    narrow(load_some(key + i, count), elements);
    for (int64_t j = 0; j < count; ++j) key_page[(i + j) * tokens + offset] = elements[j];
    narrow(load_some(value + i, count), elements);
    std::memcpy(value_page + offset * dim + i, elements,
                static_cast<size_t>(count) * sizeof(Element));
  });
}

template <typename Element>
QUERN_PART void store_tokens(const ops::KvStoreArgs& args, const KvSlot* slots, int64_t token_begin,
                             int64_t token_end) {
  const ops::KvLayerView& cache = args.cache;
  const int64_t dim = cache.head_dim;
  const int64_t head_values = dim * cache.page_tokens;
  Element* keys = reinterpret_cast<Element*>(cache.keys);
  Element* values = reinterpret_cast<Element*>(cache.values);
  for (int64_t t = token_begin; t < token_end; ++t) {
    for (int64_t h = 0; h < cache.n_kv_heads; ++h) {
      const int64_t base = (slots[t].page * int64_t{cache.n_kv_heads} + h) * head_values;
      const int64_t from = t * args.stride + h * dim;
      store_head(args.keys + from, args.values + from, dim, cache.page_tokens, slots[t].offset,
                 keys + base, values + base);
    }
  }
}

void kv_store(const ops::KvStoreArgs& args, const KvSlot* slots, int64_t token_begin,
              int64_t token_end) {
  if (args.cache.format == ops::KvFormat::kF16) {
    store_tokens<uint16_t>(args, slots, token_begin, token_end);
  } else {
    store_tokens<float>(args, slots, token_begin, token_end);
  }
}

QUERN_PART int64_t padded_dim(int64_t dim) { return AttentionScratch::padded(dim); }

struct Range {
  int32_t begin;
  int32_t end;
};

// Everything one (tile, kv head) needs while it walks over the chunks.
struct AttentionItem {
  const ops::AttentionArgs* args;
  const TokenTile* tile;
  int64_t kv_head;
  int64_t group;      // query heads per kv head
  int64_t n_queries;  // tile tokens * group
  AttentionScratch scratch;

  const float* query(int64_t i) const {
    return args->q + (tile->first_token + i / group) * args->q_stride +
           (kv_head * group + i % group) * args->cache.head_dim;
  }
  int32_t position(int64_t i) const {
    return tile->first_position + static_cast<int32_t>(i / group);
  }
  // Positions that query i sees.
  Range seen(int64_t i) const {
    const int32_t p = position(i);
    const bool limited = args->window > 0 && p >= args->window;
    return {limited ? p - args->window + 1 : 0, p + 1};
  }
  // The same inside the chunk that starts at `first`, relative to it; empty if begin >= end.
  Range seen_in_chunk(int64_t i, int32_t first) const {
    const Range all = seen(i);
    const int32_t size = args->cache.page_tokens;
    return {all.begin > first ? all.begin - first : 0,
            all.end - first < size ? all.end - first : size};
  }
};

// Widens one page of one kv head. Positions past n_valid are not read for values; their keys are
// whatever the page holds, in lanes that are masked later.
QUERN_PART void load_page(const AttentionItem& item, int32_t page, int32_t n_valid) {
  const ops::KvLayerView& cache = item.args->cache;
  const int64_t dim = cache.head_dim;
  const int64_t tokens = cache.page_tokens;
  const int64_t base = (page * int64_t{cache.n_kv_heads} + item.kv_head) * dim * tokens;
  const int64_t padded = padded_dim(dim);
  if (cache.format == ops::KvFormat::kF16) {
    const uint16_t* keys = reinterpret_cast<const uint16_t*>(cache.keys) + base;
    const uint16_t* values = reinterpret_cast<const uint16_t*>(cache.values) + base;
    for (int64_t i = 0; i < dim * tokens; i += kVecLanes) {
      v_store(item.scratch.keys + i, v_load_f16(keys + i));
    }
    for (int64_t t = 0; t < n_valid; ++t) {
      for_vectors(0, dim, [&](int64_t i, int64_t count) {
        const uint16_t* from = values + t * dim + i;
        const Vec v = count == kVecLanes ? v_load_f16(from) : v_load_first_f16(from, count);
        v_store(item.scratch.values + t * padded + i, v);
      });
    }
  } else {
    const float* keys = reinterpret_cast<const float*>(cache.keys) + base;
    const float* values = reinterpret_cast<const float*>(cache.values) + base;
    for (int64_t i = 0; i < dim * tokens; i += kVecLanes) {
      v_store(item.scratch.keys + i, v_load(keys + i));
    }
    for (int64_t t = 0; t < n_valid; ++t) {
      for_vectors(0, dim, [&](int64_t i, int64_t count) {
        v_store(item.scratch.values + t * padded + i, load_some(values + t * dim + i, count));
      });
    }
  }
}

// Dot products of n queries from `first` with all positions of the page, ascending over head_dim.
template <int n>
QUERN_PART void score_queries(const AttentionItem& item, int64_t first) {
  const int64_t dim = item.args->cache.head_dim;
  const int64_t tokens = item.args->cache.page_tokens;
  const float* q[n];
  for (int i = 0; i < n; ++i) q[i] = item.query(first + i);
  for (int64_t t = 0; t < tokens; t += kVecLanes) {
    Vec sum[n];
    for (int i = 0; i < n; ++i) sum[i] = v_zero();
    const float* keys = item.scratch.keys + t;
    for (int64_t d = 0; d < dim; ++d) {
      const Vec k = v_load(keys + d * tokens);
      QUERN_UNROLL
      for (int i = 0; i < n; ++i) sum[i] = v_fma(v_set(q[i][d]), k, sum[i]);
    }
    for (int i = 0; i < n; ++i) v_store(item.scratch.weights + (first + i) * tokens + t, sum[i]);
  }
}

// 0, 1, ..., 15 plus `first`, as floats (exact).
QUERN_PART Vec lane_numbers(int64_t first) {
  const float numbers[kVecLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return v_add(v_load(numbers), v_set(static_cast<float>(first)));
}

// Turns the scores of query i into exponentials, and brings its sums to the new maximum. Lanes
// outside `seen` become exactly 0.
QUERN_PART void soften_scores(const AttentionItem& item, int64_t i, Range seen) {
  const ops::AttentionArgs& args = *item.args;
  const int64_t tokens = args.cache.page_tokens;
  float* w = item.scratch.weights + i * tokens;
  const Vec begin = v_set(static_cast<float>(seen.begin));
  const Vec end = v_set(static_cast<float>(seen.end));
  const Vec lowest = v_set(-__builtin_inff());
  Vec top = lowest;
  for (int64_t t = 0; t < tokens; t += kVecLanes) {
    Vec s = v_mul(v_load(w + t), v_set(args.scale));
    if (args.softcap != 0.0F) s = soft_cap(s, v_set(args.softcap));
    const Vec number = lane_numbers(t);
    s = v_select(v_less(number, begin), lowest, s);
    s = v_select(v_less(number, end), s, lowest);
    v_store(w + t, s);
    top = v_max(s, top);
  }
  const float old_maximum = item.scratch.maximum[i];
  const float chunk_maximum = v_reduce_max(top);
  const float maximum = chunk_maximum > old_maximum ? chunk_maximum : old_maximum;
  item.scratch.maximum[i] = maximum;

  float* lanes = item.scratch.lanes + i * kVecLanes;
  Vec sum = v_load(lanes);
  if (maximum != old_maximum) {
    const Vec shrink = v_exp(v_set(old_maximum - maximum));
    sum = v_mul(sum, shrink);
    float* output = item.scratch.output + i * padded_dim(args.cache.head_dim);
    for (int64_t d = 0; d < args.cache.head_dim; d += kVecLanes) {
      v_store(output + d, v_mul(v_load(output + d), shrink));
    }
  }
  for (int64_t t = 0; t < tokens; t += kVecLanes) {
    const Vec number = lane_numbers(t);
    Vec e = v_exp(v_sub(v_load(w + t), v_set(maximum)));
    e = v_select(v_less(number, begin), v_zero(), e);
    e = v_select(v_less(number, end), e, v_zero());
    v_store(w + t, e);
    sum = v_add(sum, e);
  }
  v_store(lanes, sum);
}

// output += weights * values over the positions of `seen`, ascending, for n queries that see the
// same ones.
template <int n>
QUERN_PART void mix_values(const AttentionItem& item, int64_t first, Range seen) {
  const int64_t dim = item.args->cache.head_dim;
  const int64_t tokens = item.args->cache.page_tokens;
  const int64_t padded = padded_dim(dim);
  const float* w = item.scratch.weights + first * tokens;
  float* output = item.scratch.output + first * padded;
  for (int64_t d = 0; d < dim; d += kVecLanes) {
    Vec sum[n];
    for (int i = 0; i < n; ++i) sum[i] = v_load(output + i * padded + d);
    for (int64_t t = seen.begin; t < seen.end; ++t) {
      const Vec v = v_load(item.scratch.values + t * padded + d);
      QUERN_UNROLL
      for (int i = 0; i < n; ++i) sum[i] = v_fma(v_set(w[i * tokens + t]), v, sum[i]);
    }
    for (int i = 0; i < n; ++i) v_store(output + i * padded + d, sum[i]);
  }
}

QUERN_PART bool same_range(Range a, Range b) { return a.begin == b.begin && a.end == b.end; }

void attend_chunk(const AttentionItem& item, int32_t first) {
  constexpr int n = kAttentionQueries;
  int64_t i = 0;
  for (; i + n <= item.n_queries; i += n) score_queries<n>(item, i);
  for (; i < item.n_queries; ++i) score_queries<1>(item, i);

  for (i = 0; i < item.n_queries; ++i) {
    const Range seen = item.seen_in_chunk(i, first);
    if (seen.begin < seen.end) soften_scores(item, i, seen);
  }
  i = 0;
  while (i < item.n_queries) {
    const Range seen = item.seen_in_chunk(i, first);
    if (seen.begin >= seen.end) {
      ++i;
    } else if (i + n <= item.n_queries && same_range(seen, item.seen_in_chunk(i + n - 1, first))) {
      mix_values<n>(item, i, seen);
      i += n;
    } else {
      mix_values<1>(item, i, seen);
      ++i;
    }
  }
}

void attend_item(const AttentionItem& item) {
  const ops::AttentionArgs& args = *item.args;
  const int64_t dim = args.cache.head_dim;
  const int64_t padded = padded_dim(dim);
  const int32_t tokens = args.cache.page_tokens;
  for (int64_t i = 0; i < item.n_queries; ++i) item.scratch.maximum[i] = -__builtin_inff();
  std::memset(item.scratch.lanes, 0, sizeof(float) * kVecLanes * item.n_queries);
  std::memset(item.scratch.output, 0, sizeof(float) * padded * item.n_queries);

  const int32_t end = item.seen(item.n_queries - 1).end;
  for (int32_t chunk = item.seen(0).begin / tokens; chunk * tokens < end; ++chunk) {
    const int32_t first = chunk * tokens;
    load_page(item, item.tile->pages[chunk], end - first < tokens ? end - first : tokens);
    attend_chunk(item, first);
  }
  for (int64_t i = 0; i < item.n_queries; ++i) {
    float* y = args.y + (item.tile->first_token + i / item.group) * args.y_stride +
               (item.kv_head * item.group + i % item.group) * dim;
    const Vec sum = v_set(v_reduce_add(v_load(item.scratch.lanes + i * kVecLanes)));
    for_vectors(0, dim, [&](int64_t d, int64_t count) {
      store_some(y + d, count, v_div(v_load(item.scratch.output + i * padded + d), sum));
    });
  }
}

void attention(const AttentionTask& task, int64_t begin, int64_t end, std::byte* memory) {
  const ops::AttentionArgs& args = *task.args;
  for (int64_t i = begin; i < end; ++i) {
    AttentionItem item{};
    item.args = &args;
    item.tile = task.tiles + i / args.cache.n_kv_heads;
    item.kv_head = i % args.cache.n_kv_heads;
    item.group = args.n_heads / args.cache.n_kv_heads;
    item.n_queries = item.tile->n_tokens * item.group;
    item.scratch = AttentionScratch::carve(args.cache, item.n_queries, memory);
    attend_item(item);
  }
}

}  // namespace
}  // namespace quern::cpu
