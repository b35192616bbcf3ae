// Operations that prepare their result for the product after them: the same bits as one by one, and
// nothing stale when something else happens in between.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tests/kernels/cpu/kernel_fixture.h"

namespace quern::cpu_tests {
namespace {

using formats::FormatId;

std::unique_ptr<const dispatch::Weight> load(backend::Backend& backend,
                                             const RandomWeight& weight) {
  auto loaded = backend.load_weight(weight.view(), "w");
  CHECK(loaded.ok());
  return std::move(loaded).value();
}

RandomWeight random_weight(FormatId format, int64_t n_rows, int64_t n_cols, uint64_t seed) {
  return RandomWeight(formats::format_info(format), n_rows, n_cols, seed);
}

// Backends of every instruction set, with one and with three threads.
template <typename Body>
void for_backends(Body body) {
  for (const std::string& cap : isa_caps()) {
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(cap + ", threads " + std::to_string(threads));
      body(*make_backend(cap, threads));
    }
  }
}

// y and the product of y with `next`, of a gated product done at once or as its two operations.
std::vector<float> gated(backend::Backend& backend, bool at_once, const RandomWeight& gate,
                         const RandomWeight& up, const RandomWeight& next,
                         const std::vector<float>& x, int64_t n_rows) {
  const auto gate_weight = load(backend, gate);
  const auto up_weight = load(backend, up);
  const auto next_weight = load(backend, next);
  const int64_t n_in = gate.view().n_cols;
  const int64_t n_out = gate.view().n_rows;
  Random random(5);
  const std::vector<float> bias = random.normals(static_cast<size_t>(n_out));
  std::vector<float> both(static_cast<size_t>(n_rows * 2 * n_out), 7.0F);
  const ops::MatmulOutput gate_output = {gate_weight.get(), bias.data(), both.data(), 2 * n_out};
  const ops::MatmulOutput up_output = {up_weight.get(), nullptr, both.data() + n_out, 2 * n_out};
  const ops::GatedMatmulArgs args = {x.data(),    n_in,      n_rows,
                                     gate_output, up_output, ops::Activation::kSilu,
                                     both.data(), 2 * n_out, next_weight.get()};
  if (at_once) {
    backend.gated_matmul(args);
  } else {
    backend.backend::Backend::gated_matmul(args);
  }
  std::vector<float> result;
  for (int64_t r = 0; r < n_rows; ++r) {
    result.insert(result.end(), both.begin() + r * 2 * n_out, both.begin() + r * 2 * n_out + n_out);
  }
  std::vector<float> product(static_cast<size_t>(n_rows * next.view().n_rows));
  const ops::MatmulOutput output = {next_weight.get(), nullptr, product.data(), next.view().n_rows};
  backend.matmul({both.data(), 2 * n_out, n_rows, {&output, 1}});
  CHECK(backend.finish_step().ok());
  result.insert(result.end(), product.begin(), product.end());
  return result;
}

TEST(Fused, GatedProductIsItsTwoOperations) {
  for (const FormatId format : {FormatId::kQ4_K, FormatId::kQ8_0, FormatId::kF16}) {
    for (const FormatId next_format : {FormatId::kQ8_0, FormatId::kF32}) {
      for (const int64_t n_out : {32, 160}) {
        const RandomWeight gate = random_weight(format, n_out, 512, 1);
        const RandomWeight up = random_weight(format, n_out, 512, 2);
        const RandomWeight next = random_weight(next_format, 48, n_out, 3);
        for (const int64_t n_rows : {1, 19}) {
          SCOPED_TRACE(std::to_string(static_cast<int>(format)) + ", " + std::to_string(n_out) +
                       " outputs, rows " + std::to_string(n_rows));
          Random random(4);
          const auto x = random.normals(static_cast<size_t>(512 * n_rows));
          const auto expected = gated(*make_backend("scalar"), false, gate, up, next, x, n_rows);
          for_backends([&](backend::Backend& backend) {
            EXPECT_TRUE(same_bits(gated(backend, true, gate, up, next, x, n_rows), expected));
          });
        }
      }
    }
  }
}

// Wide enough that super-blocks of the result are quantized with it, and too narrow for that.
TEST(Fused, GatedProductBeforeSuperBlocks) {
  for (const int64_t n_out : {256, 2048}) {
    const RandomWeight gate = random_weight(FormatId::kQ4_K, n_out, 256, 1);
    const RandomWeight up = random_weight(FormatId::kQ6_K, n_out, 256, 2);
    const RandomWeight next = random_weight(FormatId::kQ4_K, 17, n_out, 3);
    for (const int64_t n_rows : {1, 18}) {
      SCOPED_TRACE(std::to_string(n_out) + " outputs, rows " + std::to_string(n_rows));
      Random random(4);
      const auto x = random.normals(static_cast<size_t>(256 * n_rows));
      const auto expected = gated(*make_backend("scalar"), false, gate, up, next, x, n_rows);
      for_backends([&](backend::Backend& backend) {
        EXPECT_TRUE(same_bits(gated(backend, true, gate, up, next, x, n_rows), expected));
      });
    }
  }
}

TEST(Fused, GatedProductOfAnOddWidth) {
  const RandomWeight gate = random_weight(FormatId::kQ4_0, 75, 64, 1);
  const RandomWeight up = random_weight(FormatId::kQ4_0, 75, 64, 2);
  const RandomWeight next = random_weight(FormatId::kF32, 16, 75, 3);
  Random random(4);
  const auto x = random.normals(64 * 5);
  const auto expected = gated(*make_backend("scalar"), false, gate, up, next, x, 5);
  for_backends([&](backend::Backend& backend) {
    EXPECT_TRUE(same_bits(gated(backend, true, gate, up, next, x, 5), expected));
  });
}

class NormFirst : public testing::Test {
 protected:
  static constexpr int64_t kIn = 512;
  static constexpr int64_t kRows = 5;

  // The product after a norm, with and without the hint; `between` may do something in between.
  template <typename Between>
  static std::vector<float> run(backend::Backend& backend, bool hint, Between between) {
    const RandomWeight matrix = random_weight(FormatId::kQ4_K, 40, kIn, 1);
    const auto weight = load(backend, matrix);
    Random random(2);
    const auto x = random.normals(kIn * kRows);
    const auto scale = random.normals(kIn);
    std::vector<float> y(x.size());
    backend.rms_norm({x.data(), kIn, scale.data(), 1e-5F, y.data(), kIn, kRows, kIn,
                      hint ? weight.get() : nullptr});
    between(backend, *weight, y);
    std::vector<float> product = multiply(backend, *weight, y, kRows);
    product.insert(product.end(), y.begin(), y.end());
    return product;
  }

  template <typename Between>
  static void expect_no_difference(Between between) {
    const auto expected = run(*make_backend("scalar"), false, between);
    for_backends([&](backend::Backend& backend) {
      EXPECT_TRUE(same_bits(run(backend, true, between), expected));
    });
  }
};

TEST_F(NormFirst, TheHintChangesNothing) {
  expect_no_difference([](backend::Backend&, const dispatch::Weight&, std::vector<float>&) {});
}

// The hint names a weight with super-blocks; the product after it also has one without.
TEST(Fused, RowsAreReadyInOneFormOnly) {
  constexpr int64_t kIn = 512;
  constexpr int64_t kRows = 19;
  const RandomWeight matrices[] = {random_weight(FormatId::kQ5_K, 33, kIn, 1),
                                   random_weight(FormatId::kQ8_0, 16, kIn, 2),
                                   random_weight(FormatId::kF16, 20, kIn, 3)};
  Random random(2);
  const auto x = random.normals(kIn * kRows);
  const auto scale = random.normals(kIn);
  const auto run = [&](backend::Backend& backend, size_t hinted) {
    std::vector<std::unique_ptr<const dispatch::Weight>> weights;
    for (const RandomWeight& matrix : matrices) weights.push_back(load(backend, matrix));
    std::vector<float> y(x.size());
    const dispatch::Weight* hint = hinted < weights.size() ? weights[hinted].get() : nullptr;
    backend.rms_norm({x.data(), kIn, scale.data(), 1e-5F, y.data(), kIn, kRows, kIn, hint});
    std::vector<float> products;
    for (int repeat = 0; repeat < 2; ++repeat) {
      std::vector<std::vector<float>> parts;
      std::vector<ops::MatmulOutput> outputs;
      for (const auto& weight : weights) {
        parts.emplace_back(static_cast<size_t>(kRows * weight->view.n_rows));
        outputs.push_back({weight.get(), nullptr, parts.back().data(), weight->view.n_rows});
      }
      backend.matmul({y.data(), kIn, kRows, outputs});
      for (const auto& part : parts) products.insert(products.end(), part.begin(), part.end());
    }
    CHECK(backend.finish_step().ok());
    return products;
  };
  const auto expected = run(*make_backend("scalar"), 9);
  for_backends([&](backend::Backend& backend) {
    for (size_t hinted = 0; hinted <= 3; ++hinted) {
      EXPECT_TRUE(same_bits(run(backend, hinted), expected)) << hinted;
    }
  });
}

TEST_F(NormFirst, WhatOtherOperationsWriteCounts) {
  expect_no_difference(
      [](backend::Backend& backend, const dispatch::Weight&, std::vector<float>& y) {
        const std::vector<float> more(y.size(), 0.25F);
        backend.add({more.data(), y.data(), static_cast<int64_t>(y.size())});
      });
  expect_no_difference(
      [](backend::Backend& backend, const dispatch::Weight&, std::vector<float>& y) {
        backend.scale({y.data(), 3.0F, static_cast<int64_t>(y.size())});
      });
}

TEST_F(NormFirst, FewerRowsAndOtherRowsAreOtherRows) {
  expect_no_difference(
      [](backend::Backend& backend, const dispatch::Weight& weight, std::vector<float>& y) {
        const std::vector<float> fewer = multiply(backend, weight, y, 2);
        const std::vector<float> other(y.rbegin(), y.rend());
        const std::vector<float> reversed = multiply(backend, weight, other, kRows);
        // Kept in y, so that they are compared too.
        y.insert(y.end(), fewer.begin(), fewer.end());
        y.insert(y.end(), reversed.begin(), reversed.end());
      });
}

// Attention over some positions, then the product of its result.
std::vector<float> attend(backend::Backend& backend, bool hint, int64_t n_heads, int32_t head_dim,
                          int32_t n_tokens, int32_t first_position,
                          FormatId format = FormatId::kQ8_0) {
  constexpr int32_t kPage = 32;
  constexpr int32_t kKvHeads = 2;
  const int64_t width = n_heads * head_dim;
  const int32_t n_pages = (first_position + n_tokens + kPage - 1) / kPage;
  const size_t bytes = static_cast<size_t>(n_pages * kKvHeads * kPage * head_dim) * sizeof(float);
  Random random(3);
  std::vector<float> keys = random.normals(bytes / sizeof(float));
  std::vector<float> values = random.normals(bytes / sizeof(float));
  const auto q = random.normals(static_cast<size_t>(n_tokens * width));
  std::vector<int32_t> pages;
  for (int32_t p = 0; p < n_pages; ++p) pages.push_back(p);
  const std::vector<int32_t> tokens(static_cast<size_t>(n_tokens), 0);
  const ops::SequenceSlice slice = {0, n_tokens, first_position, pages};
  const RandomWeight matrix = random_weight(format, 24, width, 1);
  const auto weight = load(backend, matrix);
  CHECK(backend.begin_step({tokens, {&slice, 1}, {}}).ok());
  std::vector<float> y(q.size());
  const ops::KvLayerView cache = {reinterpret_cast<std::byte*>(keys.data()),
                                  reinterpret_cast<std::byte*>(values.data()),
                                  ops::KvFormat::kF32,
                                  kPage,
                                  kKvHeads,
                                  head_dim};
  backend.attention({cache, q.data(), width, n_heads, 0.125F, 0, 0, y.data(), width,
                     hint ? weight.get() : nullptr});
  std::vector<float> product = multiply(backend, *weight, y, n_tokens);
  product.insert(product.end(), y.begin(), y.end());
  return product;
}

TEST(Fused, AttentionPreparesItsProduct) {
  struct Shape {
    int64_t n_heads;
    int32_t head_dim;  // 2 heads of 16 are one block; 2 of 24 are not whole blocks
    int32_t n_tokens;
    int32_t first_position;
  };
  for (const Shape& s :
       {Shape{4, 64, 1, 0}, {4, 64, 37, 11}, {4, 16, 5, 3}, {8, 24, 3, 2}, {4, 64, 1, 2100}}) {
    SCOPED_TRACE(std::to_string(s.head_dim) + " wide, " + std::to_string(s.n_tokens) + " tokens");
    const auto expected =
        attend(*make_backend("scalar"), false, s.n_heads, s.head_dim, s.n_tokens, s.first_position);
    for_backends([&](backend::Backend& backend) {
      EXPECT_TRUE(same_bits(
          attend(backend, true, s.n_heads, s.head_dim, s.n_tokens, s.first_position), expected));
    });
  }
}

// Heads that are whole super-blocks together, and heads that are not.
TEST(Fused, AttentionPreparesItsProductInSuperBlocks) {
  for (const int32_t head_dim : {64, 32}) {
    SCOPED_TRACE(head_dim);
    const auto expected =
        attend(*make_backend("scalar"), false, 8, head_dim, 19, 11, FormatId::kQ4_K);
    for_backends([&](backend::Backend& backend) {
      EXPECT_TRUE(same_bits(attend(backend, true, 8, head_dim, 19, 11, FormatId::kQ4_K), expected));
    });
  }
}

}  // namespace
}  // namespace quern::cpu_tests
