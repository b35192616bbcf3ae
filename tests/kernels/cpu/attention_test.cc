// Attention and the KV pages: equal bits for every row, prompt chunking, page placement, batch and
// thread count; agreement with a naive double-precision softmax; NaN stays where it belongs.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "kernels/cpu/cpu_rows.h"
#include "kernels/formats/format.h"
#include "tests/kernels/cpu/kernel_fixture.h"

namespace quern::cpu_tests {
namespace {

constexpr int32_t kPageTokens = 32;

struct Setting {
  int64_t n_heads = 8;
  int32_t n_kv_heads = 2;
  int32_t head_dim = 64;
  int32_t window = 0;
  float softcap = 0;
  ops::KvFormat format = ops::KvFormat::kF16;
  int32_t page_tokens = kPageTokens;

  int64_t q_width() const { return n_heads * head_dim; }
  int64_t kv_width() const { return int64_t{n_kv_heads} * head_dim; }
  float scale() const { return 1.0F / std::sqrt(static_cast<float>(head_dim)); }
};

// Queries, keys and values of one sequence.
struct Sequence {
  Sequence(const Setting& setting, int32_t n, uint64_t seed) : n_tokens(n) {
    Random random(seed);
    q = random.normals(static_cast<size_t>(n * setting.q_width()), 2.0F);
    k = random.normals(static_cast<size_t>(n * setting.kv_width()));
    v = random.normals(static_cast<size_t>(n * setting.kv_width()));
  }
  int32_t n_tokens;
  std::vector<float> q, k, v;
};

// A KV cache full of NaN, so that reading what was never written shows. Exactly as large as it has
// to be, so that a sanitizer sees what lies behind.
class Cache {
 public:
  Cache(const Setting& setting, int32_t n_pages)
      : setting_(setting),
        bytes_(static_cast<size_t>(
                   2 * n_pages * setting.n_kv_heads *
                   ops::kv_head_bytes(setting.format, setting.page_tokens, setting.head_dim)),
               setting.format == ops::KvFormat::kF32 ? std::byte{0xFF} : std::byte{0x7F}) {}
  ops::KvLayerView view() {
    return {bytes_.data(),       bytes_.data() + bytes_.size() / 2,
            setting_.format,     setting_.page_tokens,
            setting_.n_kv_heads, setting_.head_dim};
  }

 private:
  Setting setting_;
  std::vector<std::byte> bytes_;
};

std::vector<int32_t> pages_in_order(int32_t n, int32_t first = 0) {
  std::vector<int32_t> pages;
  for (int32_t i = 0; i < n; ++i) pages.push_back(first + i);
  return pages;
}

// Stores and attends tokens [first, first + n) of `sequence`; appends their outputs to `y`.
void run_part(backend::Backend& backend, const Setting& setting, Cache& cache,
              const Sequence& sequence, std::span<const int32_t> pages, int32_t first, int32_t n,
              std::vector<float>& y) {
  const std::vector<int32_t> tokens(static_cast<size_t>(n), 0);
  const std::vector<ops::SequenceSlice> slices = {{0, n, first, pages}};
  ASSERT_TRUE(backend.begin_step({tokens, slices, {}}).ok());
  const int64_t kv_at = first * setting.kv_width();
  backend.kv_store(
      {cache.view(), sequence.k.data() + kv_at, sequence.v.data() + kv_at, setting.kv_width()});
  std::vector<float> part(static_cast<size_t>(n * setting.q_width()));
  backend.attention({cache.view(), sequence.q.data() + first * setting.q_width(), setting.q_width(),
                     setting.n_heads, setting.scale(), setting.softcap, setting.window, part.data(),
                     setting.q_width()});
  ASSERT_TRUE(backend.finish_step().ok());
  y.insert(y.end(), part.begin(), part.end());
}

std::vector<float> run_chunked(backend::Backend& backend, const Setting& setting,
                               const Sequence& sequence, int32_t chunk,
                               const std::vector<int32_t>& pages) {
  Cache cache(setting, 1 + *std::max_element(pages.begin(), pages.end()));
  std::vector<float> y;
  for (int32_t first = 0; first < sequence.n_tokens; first += chunk) {
    run_part(backend, setting, cache, sequence, pages, first,
             std::min(chunk, sequence.n_tokens - first), y);
  }
  return y;
}

std::vector<Setting> settings() {
  std::vector<Setting> all;
  all.push_back({});
  all.push_back({.n_heads = 3, .n_kv_heads = 3, .head_dim = 80, .window = 20});
  all.push_back({.n_heads = 8, .n_kv_heads = 1, .head_dim = 8, .format = ops::KvFormat::kF32});
  all.push_back({.n_heads = 4, .n_kv_heads = 2, .head_dim = 96, .window = 33, .softcap = 5.0F});
  all.push_back({.n_heads = 5, .n_kv_heads = 1, .head_dim = 40, .page_tokens = 16});
  all.push_back({.format = ops::KvFormat::kQ8_0});
  all.push_back(
      {.n_heads = 14, .n_kv_heads = 2, .format = ops::KvFormat::kQ8_0, .page_tokens = 16});
  all.push_back({.format = ops::KvFormat::kQ4_0});
  all.push_back({.n_heads = 3,
                 .n_kv_heads = 3,
                 .head_dim = 96,
                 .window = 20,
                 .format = ops::KvFormat::kQ4_0});
  return all;
}

float as_f16(float value) {
  std::byte bytes[2];
  float back = 0;
  const auto& f16 = formats::format_info(formats::FormatId::kF16);
  f16.encode_row(&value, bytes, 1);
  f16.decode_row(bytes, &back, 1);
  return back;
}

// The 32 values from x as the cache keeps them, by the rules of kernels/cpu/README.md.
void store_block(ops::KvFormat format, float* x) {
  const auto less = [](float a, float b) { return std::abs(a) < std::abs(b); };
  const float extreme = *std::max_element(x, x + 32, less);
  const bool eight = format == ops::KvFormat::kQ8_0;
  const float steps = eight ? 127.0F : -8.0F;
  const float peak = eight ? std::abs(extreme) : extreme;
  const float scale = as_f16(peak / steps);
  for (int i = 0; i < 32; ++i) {
    const float q = x[i] * (steps / peak);
    x[i] = scale * std::nearbyint(eight ? q : std::min(q, 7.0F));
  }
}

std::vector<float> as_stored(const Setting& setting, std::vector<float> values) {
  if (setting.format == ops::KvFormat::kF16) {
    for (float& value : values) value = as_f16(value);
  } else if (setting.format != ops::KvFormat::kF32) {
    for (size_t i = 0; i < values.size(); i += 32) store_block(setting.format, &values[i]);
  }
  return values;
}

// Plain softmax in double over the values as stored.
std::vector<double> reference(const Setting& setting, const Sequence& sequence) {
  const auto keys = as_stored(setting, sequence.k);
  const auto values = as_stored(setting, sequence.v);
  const int64_t dim = setting.head_dim;
  const int64_t group = setting.n_heads / setting.n_kv_heads;
  std::vector<double> y;
  for (int64_t t = 0; t < sequence.n_tokens; ++t) {
    const int64_t begin = setting.window > 0 ? std::max<int64_t>(0, t - setting.window + 1) : 0;
    for (int64_t h = 0; h < setting.n_heads; ++h) {
      const float* q = sequence.q.data() + t * setting.q_width() + h * dim;
      std::vector<double> scores;
      double top = -1e300;
      for (int64_t p = begin; p <= t; ++p) {
        const float* k = keys.data() + p * setting.kv_width() + h / group * dim;
        double s = 0;
        for (int64_t d = 0; d < dim; ++d) s += double{q[d]} * k[d];
        s *= setting.scale();
        if (setting.softcap != 0) s = setting.softcap * std::tanh(s / setting.softcap);
        scores.push_back(s);
        top = std::max(top, s);
      }
      double sum = 0;
      for (double& s : scores) sum += s = std::exp(s - top);
      for (int64_t d = 0; d < dim; ++d) {
        double value = 0;
        for (int64_t p = begin; p <= t; ++p) {
          const float* v = values.data() + p * setting.kv_width() + h / group * dim;
          value += scores[static_cast<size_t>(p - begin)] * v[d];
        }
        y.push_back(value / sum);
      }
    }
  }
  return y;
}

TEST(Attention, AgreesWithDoublePrecision) {
  for (const Setting& setting : settings()) {
    const Sequence sequence(setting, 75, 1);
    auto scalar = make_backend("scalar");
    const auto y = run_chunked(*scalar, setting, sequence, 75, pages_in_order(5));
    const auto exact = reference(setting, sequence);
    ASSERT_EQ(y.size(), exact.size());
    double worst = 0;
    for (size_t i = 0; i < y.size(); ++i) worst = std::max(worst, std::abs(y[i] - exact[i]));
    // Values are sums of up to 75 weighted numbers of magnitude up to 3.
    EXPECT_LT(worst, 4e-6) << "head_dim " << setting.head_dim;
  }
}

TEST(Attention, RowsChunksPagesAndThreadsGiveTheSameBits) {
  for (const Setting& setting : settings()) {
    const Sequence sequence(setting, 101, 2);
    auto scalar = make_backend("scalar");
    const auto expected = run_chunked(*scalar, setting, sequence, 101, pages_in_order(7));
    const std::vector<int32_t> scattered = {9, 2, 11, 5, 0, 7, 3};
    for (const dispatch::KernelRow& row : cpu::cpu_rows()) {
      if (row.op != ops::OpId::kAttention || !this_machine().cpu.isa.contains(row.needs)) continue;
      auto forced = make_backend("", 1, {"attention=" + std::string(row.name)});
      for (const int32_t chunk : {1, 7, 32, 101}) {
        EXPECT_TRUE(same_bits(run_chunked(*forced, setting, sequence, chunk, scattered), expected))
            << row.name << " head_dim " << setting.head_dim << " chunk " << chunk;
      }
    }
    for (int threads = 2; threads <= 4; ++threads) {
      auto backend = make_backend("", threads);
      EXPECT_TRUE(same_bits(run_chunked(*backend, setting, sequence, 64, scattered), expected));
    }
    for (const std::string& cap : isa_caps()) {
      auto backend = make_backend(cap);
      EXPECT_TRUE(same_bits(run_chunked(*backend, setting, sequence, 50, scattered), expected))
          << cap;
    }
  }
}

// Contexts of several spans: split over threads, or not, from any number of tokens at a time.
TEST(Attention, SpansOfLongContexts) {
  constexpr int32_t kTokens = 2100;
  constexpr int32_t kPrompt = 2092;
  const auto pages = pages_in_order((kTokens + kPageTokens - 1) / kPageTokens);
  for (const int32_t window : {0, 1030}) {
    const Setting setting = {.n_heads = 4, .n_kv_heads = 1, .head_dim = 8, .window = window};
    const Sequence sequence(setting, kTokens, 9);
    auto scalar = make_backend("scalar");
    const auto expected = run_chunked(*scalar, setting, sequence, kTokens, pages);
    const auto exact = reference(setting, sequence);
    double worst = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      worst = std::max(worst, std::abs(expected[i] - exact[i]));
    }
    EXPECT_LT(worst, 4e-6);
    // By rows: several instruction sets share one.
    for (const dispatch::KernelRow& row : cpu::cpu_rows()) {
      if (row.op != ops::OpId::kAttention || !this_machine().cpu.isa.contains(row.needs)) continue;
      const std::string isa(row.name.substr(row.name.find('.')));
      auto backend = make_backend("", 2, {"attention=attention" + isa, "kv_store=kv_store" + isa});
      Cache cache(setting, static_cast<int32_t>(pages.size()));
      std::vector<float> y;
      for (int32_t first = 0; first < kPrompt; first += 523) {
        run_part(*backend, setting, cache, sequence, pages, first, 523, y);
      }
      for (int32_t first = kPrompt; first < kTokens; ++first) {
        run_part(*backend, setting, cache, sequence, pages, first, 1, y);
      }
      EXPECT_TRUE(same_bits(y, expected)) << row.name << " window " << window;
    }
  }
}

// Two sequences in one step give what each gives alone.
TEST(Attention, NeighboursDoNotMatter) {
  const Setting setting;
  const Sequence a(setting, 40, 3);
  const Sequence b(setting, 70, 4);
  auto backend = make_backend("", 2);
  const auto pages_a = pages_in_order(3);
  const auto pages_b = pages_in_order(3, 3);
  const auto alone_a = run_chunked(*backend, setting, a, 40, pages_a);
  const auto alone_b = run_chunked(*backend, setting, b, 70, pages_b);

  const auto join = [](const std::vector<float>& x, const std::vector<float>& y) {
    std::vector<float> both = x;
    both.insert(both.end(), y.begin(), y.end());
    return both;
  };
  const auto q = join(a.q, b.q);
  const auto k = join(a.k, b.k);
  const auto v = join(a.v, b.v);
  const std::vector<int32_t> tokens(110, 0);
  const std::vector<ops::SequenceSlice> slices = {{0, 40, 0, pages_a}, {40, 70, 0, pages_b}};
  Cache cache(setting, 6);
  ASSERT_TRUE(backend->begin_step({tokens, slices, {}}).ok());
  backend->kv_store({cache.view(), k.data(), v.data(), setting.kv_width()});
  std::vector<float> y(q.size());
  backend->attention({cache.view(), q.data(), setting.q_width(), setting.n_heads, setting.scale(),
                      0, 0, y.data(), setting.q_width()});
  EXPECT_TRUE(same_bits(y, join(alone_a, alone_b)));
}

// A NaN in one token's key must not reach earlier tokens, nor other kv heads.
TEST(Attention, NanDoesNotReachThePast) {
  const Setting setting;
  const Sequence clean(setting, 50, 5);
  Sequence dirty = clean;
  dirty.k[static_cast<size_t>(30 * setting.kv_width())] = std::numeric_limits<float>::quiet_NaN();
  dirty.v[static_cast<size_t>(40 * setting.kv_width())] = std::numeric_limits<float>::infinity();
  for (const std::string& cap : isa_caps()) {
    auto backend = make_backend(cap);
    const auto good = run_chunked(*backend, setting, clean, 50, pages_in_order(2));
    const auto bad = run_chunked(*backend, setting, dirty, 50, pages_in_order(2));
    for (int64_t t = 0; t < 50; ++t) {
      for (int64_t h = 0; h < setting.n_heads; ++h) {
        const auto at = static_cast<size_t>(t * setting.q_width() + h * setting.head_dim);
        const auto head = std::span(bad).subspan(at, 64);
        if (t >= 30 && h < 4) {
          for (const float value : head) EXPECT_TRUE(std::isnan(value)) << cap;
        } else {
          EXPECT_TRUE(same_bits(head, std::span(good).subspan(at, 64))) << cap << " token " << t;
        }
      }
    }
  }
}

}  // namespace
}  // namespace quern::cpu_tests
