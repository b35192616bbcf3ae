// Paged causal attention with an online softmax.
//
// The order of operations per (token, head) is written down in kernels/cpu/README.md. It depends on
// absolute positions only, so neither batch, prompt chunks, page placement, threads nor the
// splitting of a long context changes a bit.
// Sources: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018); Dao et al.,
// "Flash-Decoding for long-context inference" (2023), for the spans.
#pragma once

#include "kernels/cpu/attention_scratch.h"
#include "kernels/cpu/kv_pages-inl.h"
#include "kernels/cpu/stream_prefetch-inl.h"
#include "kernels/cpu/unrolled-inl.h"

namespace quern::cpu {
namespace {

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
  // Positions that query i sees.
  Range seen(int64_t i) const {
    const int32_t p = tile->first_position + static_cast<int32_t>(i / group);
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
  // Positions that any query sees.
  Range seen_by_any() const { return {seen(0).begin, seen(n_queries - 1).end}; }
  StoredHead head(int32_t page) const {
    const ops::KvLayerView& cache = args->cache;
    const int64_t at = (page * int64_t{cache.n_kv_heads} + kv_head) *
                       ops::kv_head_bytes(cache.format, cache.page_tokens, cache.head_dim);
    return {cache.keys + at, cache.values + at, cache.head_dim, cache.page_tokens};
  }
};

// The same head of the page that comes next, brought nearer a line at a time.
struct NextPage {
  StreamPrefetch<3> keys;
  StreamPrefetch<3> values;

  QUERN_PART void advance() {
    keys.advance(64);
    values.advance(64);
  }
};

// Dot products of n queries from `first` with all positions of the page, ascending over head_dim;
// m vectors of positions at a time.
template <int n, int m, typename Reader>
QUERN_PART void score_queries(const AttentionItem& item, const Reader& page, int64_t first,
                              NextPage& next) {
  const int64_t dim = item.args->cache.head_dim;
  const int64_t tokens = item.args->cache.page_tokens;
  const float* q[n];
  for (int i = 0; i < n; ++i) q[i] = item.query(first + i);
  for (int64_t t = 0; t < tokens; t += m * kVecLanes) {
    Vec sum[n][m];
    QUERN_UNROLL
    for (int i = 0; i < n; ++i) {
      QUERN_UNROLL
      for (int j = 0; j < m; ++j) sum[i][j] = v_zero();
    }
    for (int64_t d = 0; d < dim; ++d) {
      next.advance();
      Vec k[m];
      QUERN_UNROLL
      for (int j = 0; j < m; ++j) k[j] = page.key(d, t + j * kVecLanes);
      QUERN_UNROLL
      for (int i = 0; i < n; ++i) {
        const Vec scalar = v_set(q[i][d]);
        QUERN_UNROLL
        for (int j = 0; j < m; ++j) sum[i][j] = v_fma(scalar, k[j], sum[i][j]);
      }
    }
    QUERN_UNROLL
    for (int i = 0; i < n; ++i) {
      QUERN_UNROLL
      for (int j = 0; j < m; ++j) {
        v_store(item.scratch.weights + (first + i) * tokens + t + j * kVecLanes, sum[i][j]);
      }
    }
  }
}

// 0, 1, ..., 15 plus `first`, as floats (exact).
QUERN_PART Vec lane_numbers(int64_t first) {
  const float numbers[kVecLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return v_add(v_load(numbers), v_set(static_cast<float>(first)));
}

// Turns the scores of query i into exponentials, and brings its sums to the new maximum. Lanes
// outside `seen` become exactly 0.
QUERN_PART void soften_scores(const AttentionItem& item, const SoftmaxState& state, int64_t i,
                              Range seen) {
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
  const float old_maximum = state.maximum[i];
  const float chunk_maximum = v_reduce_max(top);
  const float maximum = chunk_maximum > old_maximum ? chunk_maximum : old_maximum;
  state.maximum[i] = maximum;

  float* lanes = state.lanes + i * kVecLanes;
  Vec sum = v_load(lanes);
  if (maximum != old_maximum) {
    const Vec shrink = v_exp(v_set(old_maximum - maximum));
    sum = v_mul(sum, shrink);
    float* output = state.output + i * whole_vectors(args.cache.head_dim);
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

// output[d] += weights * values[d] over the positions of `seen`, ascending, for m vectors of d and
// n queries that see the same positions.
template <int n, int m, typename Reader>
QUERN_PART void mix_vectors(const AttentionItem& item, const Reader& page, const float* w,
                            float* output, Range seen, int64_t d, int64_t count) {
  const int64_t tokens = item.args->cache.page_tokens;
  const int64_t padded = whole_vectors(item.args->cache.head_dim);
  Vec sum[n][m];
  QUERN_UNROLL
  for (int i = 0; i < n; ++i) {
    QUERN_UNROLL
    for (int j = 0; j < m; ++j) sum[i][j] = v_load(output + i * padded + d + j * kVecLanes);
  }
  for (int64_t t = seen.begin; t < seen.end; ++t) {
    Vec v[m];
    QUERN_UNROLL
    for (int j = 0; j < m; ++j) v[j] = page.value(t, d + j * kVecLanes, count);
    QUERN_UNROLL
    for (int i = 0; i < n; ++i) {
      const Vec scalar = v_set(w[i * tokens + t]);
      QUERN_UNROLL
      for (int j = 0; j < m; ++j) sum[i][j] = v_fma(scalar, v[j], sum[i][j]);
    }
  }
  QUERN_UNROLL
  for (int i = 0; i < n; ++i) {
    QUERN_UNROLL
    for (int j = 0; j < m; ++j) v_store(output + i * padded + d + j * kVecLanes, sum[i][j]);
  }
}

template <int n, typename Reader>
QUERN_PART void mix_values(const AttentionItem& item, const SoftmaxState& state, const Reader& page,
                           int64_t first, Range seen) {
  constexpr int m = kAttentionVectors;
  const int64_t dim = item.args->cache.head_dim;
  const float* w = item.scratch.weights + first * item.args->cache.page_tokens;
  float* output = state.output + first * whole_vectors(dim);
  int64_t d = 0;
  for (; d + m * kVecLanes <= dim; d += m * kVecLanes) {
    mix_vectors<n, m>(item, page, w, output, seen, d, kVecLanes);
  }
  for_vectors(d, dim, [&](int64_t at, int64_t count) {
    mix_vectors<n, 1>(item, page, w, output, seen, at, count);
  });
}

QUERN_PART bool same_range(Range a, Range b) { return a.begin == b.begin && a.end == b.end; }

template <int n, typename Reader>
QUERN_PART void score_part(const AttentionItem& item, const Reader& page, int64_t first,
                           NextPage& next) {
  if (item.args->cache.page_tokens % (kAttentionVectors * kVecLanes) == 0) {
    score_queries<n, kAttentionVectors>(item, page, first, next);
  } else {
    score_queries<n, 1>(item, page, first, next);
  }
}

// Calls body(Index<n>, first) for all queries in groups of n = kAttentionQueries, ..., 4, 2, 1.
template <int n, typename Body>
QUERN_PART void for_query_groups(int64_t first, int64_t n_queries, Body body) {
  for (; first + n <= n_queries; first += n) body(Index<n>(), first);
  if constexpr (n > 1) for_query_groups<n / 2>(first, n_queries, body);
}

// Whether all queries fit in one group, so that a page is read once and widening it does not pay.
QUERN_PART bool one_group(int64_t n_queries) {
  return n_queries <= kAttentionQueries && (n_queries & (n_queries - 1)) == 0;
}

template <typename Reader>
void attend_chunk(const AttentionItem& item, const SoftmaxState& state, const Reader& page,
                  int32_t first_position, NextPage& next) {
  for_query_groups<kAttentionQueries>(0, item.n_queries, [&](auto count, int64_t first) {
    score_part<decltype(count)::value>(item, page, first, next);
  });
  for (int64_t i = 0; i < item.n_queries; ++i) {
    const Range seen = item.seen_in_chunk(i, first_position);
    if (seen.begin < seen.end) soften_scores(item, state, i, seen);
  }
  int64_t i = 0;
  while (i < item.n_queries) {
    const Range seen = item.seen_in_chunk(i, first_position);
    int64_t alike = 1;
    while (i + alike < item.n_queries &&
           same_range(seen, item.seen_in_chunk(i + alike, first_position))) {
      ++alike;
    }
    if (seen.begin < seen.end) {
      for_query_groups<kAttentionQueries>(i, i + alike, [&](auto count, int64_t first) {
        mix_values<decltype(count)::value>(item, state, page, first, seen);
      });
    }
    i += alike;
  }
}

// The softmax over the positions of [begin, end) that the queries see.
template <ops::KvFormat format>
void attend_span(const AttentionItem& item, const SoftmaxState& state, Range span) {
  const ops::KvLayerView& cache = item.args->cache;
  const int32_t tokens = cache.page_tokens;
  const int64_t padded = whole_vectors(cache.head_dim);
  const int64_t bytes = ops::kv_head_bytes(format, tokens, cache.head_dim);
  for (int64_t i = 0; i < item.n_queries; ++i) state.maximum[i] = -__builtin_inff();
  std::memset(state.lanes, 0, sizeof(float) * kVecLanes * item.n_queries);
  std::memset(state.output, 0, sizeof(float) * padded * item.n_queries);

  for (int32_t chunk = span.begin / tokens; chunk * tokens < span.end; ++chunk) {
    const int32_t first = chunk * tokens;
    const StoredHead head = item.head(item.tile->pages[chunk]);
    const bool last = first + tokens >= span.end;
    const StoredHead ahead = last ? head : item.head(item.tile->pages[chunk + 1]);
    NextPage next = {{ahead.keys, last ? ahead.keys : ahead.keys + bytes},
                     {ahead.values, last ? ahead.values : ahead.values + bytes}};
    const KvReader<format> page(head);
    if (one_group(item.n_queries)) {
      attend_chunk(item, state, page, first, next);
    } else {
      const int32_t n_valid = span.end - first < tokens ? span.end - first : tokens;
      widen_page(page, n_valid, padded, item.scratch.keys, item.scratch.values);
      const WideReader wide = {item.scratch.keys, item.scratch.values, tokens, padded};
      attend_chunk(item, state, wide, first, next);
    }
  }
}

void attend_span_of_any(const AttentionItem& item, const SoftmaxState& state, Range span) {
  using Attend = void (*)(const AttentionItem&, const SoftmaxState&, Range);
  // In the order of KvFormat.
  static constexpr Attend kAttend[] = {
      attend_span<ops::KvFormat::kF32>, attend_span<ops::KvFormat::kF16>,
      attend_span<ops::KvFormat::kQ8_0>, attend_span<ops::KvFormat::kQ4_0>};
  kAttend[static_cast<size_t>(item.args->cache.format)](item, state, span);
}

// total = total joined with part, the softmax over the positions of `span`, which lie behind.
void join(const AttentionItem& item, const SoftmaxState& total, const SoftmaxState& part,
          Range span) {
  const int64_t padded = whole_vectors(item.args->cache.head_dim);
  for (int64_t i = 0; i < item.n_queries; ++i) {
    const Range seen = item.seen(i);
    if (seen.begin >= span.end || seen.end <= span.begin) continue;
    const bool first = seen.begin >= span.begin;
    const float old = total.maximum[i];
    const float maximum = first || part.maximum[i] > old ? part.maximum[i] : old;
    total.maximum[i] = maximum;
    const Vec shrink = v_exp(v_set(old - maximum));
    const Vec grow = v_exp(v_set(part.maximum[i] - maximum));
    const auto add = [&](float* to, const float* from) {
      const Vec behind = v_load(from);
      v_store(to, first ? behind : v_fma(behind, grow, v_mul(v_load(to), shrink)));
    };
    add(total.lanes + i * kVecLanes, part.lanes + i * kVecLanes);
    for (int64_t d = 0; d < padded; d += kVecLanes) {
      add(total.output + i * padded + d, part.output + i * padded + d);
    }
  }
}

void write_attended(const AttentionItem& item, const SoftmaxState& state) {
  const ops::AttentionArgs& args = *item.args;
  const int64_t dim = args.cache.head_dim;
  const int64_t padded = whole_vectors(dim);
  for (int64_t i = 0; i < item.n_queries; ++i) {
    float* y = args.y + (item.tile->first_token + i / item.group) * args.y_stride +
               (item.kv_head * item.group + i % item.group) * dim;
    const Vec sum = v_set(v_reduce_add(v_load(state.lanes + i * kVecLanes)));
    for_vectors(0, dim, [&](int64_t d, int64_t count) {
      store_some(y + d, count, v_div(v_load(state.output + i * padded + d), sum));
    });
  }
}

QUERN_PART AttentionItem attention_item(const AttentionTask& task, int64_t tile_and_head) {
  const ops::AttentionArgs& args = *task.args;
  AttentionItem item{};
  item.args = &args;
  item.tile = task.tiles + tile_and_head / args.cache.n_kv_heads;
  item.kv_head = tile_and_head % args.cache.n_kv_heads;
  item.group = args.n_heads / args.cache.n_kv_heads;
  item.n_queries = item.tile->n_tokens * item.group;
  return item;
}

// Positions of span `number` that any query sees; empty if begin >= end.
QUERN_PART Range span_seen(const AttentionItem& item, int32_t number) {
  const Range all = item.seen_by_any();
  const int32_t begin = number * kSpanPositions;
  const int32_t end = begin + kSpanPositions;
  return {all.begin > begin ? all.begin : begin, all.end < end ? all.end : end};
}

QUERN_PART SoftmaxState part_state(const AttentionTask& task, const AttentionItem& item,
                                   int64_t number) {
  return SoftmaxState::carve(item.args->cache.head_dim, item.n_queries,
                             task.parts + number * task.part_floats);
}

void attention(const AttentionTask& task, int64_t begin, int64_t end, std::byte* memory) {
  for (int64_t i = begin; i < end; ++i) {
    AttentionItem item = attention_item(task, i);
    item.scratch = AttentionScratch::carve(item.args->cache, item.n_queries, memory);
    const Range all = item.seen_by_any();
    int32_t span = all.begin / kSpanPositions;
    attend_span_of_any(item, item.scratch.total, span_seen(item, span));
    for (++span; span * kSpanPositions < all.end; ++span) {
      const Range part = span_seen(item, span);
      attend_span_of_any(item, item.scratch.span, part);
      join(item, item.scratch.total, item.scratch.span, part);
    }
    write_attended(item, item.scratch.total);
  }
}

void attention_part(const AttentionTask& task, int64_t begin, int64_t end, std::byte* memory) {
  for (int64_t i = begin; i < end; ++i) {
    AttentionItem item = attention_item(task, i / task.n_spans);
    const Range span = span_seen(item, static_cast<int32_t>(i % task.n_spans));
    if (span.begin >= span.end) continue;
    item.scratch = AttentionScratch::carve(item.args->cache, item.n_queries, memory);
    attend_span_of_any(item, part_state(task, item, i), span);
  }
}

void attention_join(const AttentionTask& task, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const AttentionItem item = attention_item(task, i);
    const Range all = item.seen_by_any();
    const int32_t first = all.begin / kSpanPositions;
    const SoftmaxState total = part_state(task, item, i * task.n_spans + first);
    for (int32_t span = first + 1; span * kSpanPositions < all.end; ++span) {
      join(item, total, part_state(task, item, i * task.n_spans + span), span_seen(item, span));
    }
    write_attended(item, total);
  }
}

}  // namespace
}  // namespace quern::cpu
