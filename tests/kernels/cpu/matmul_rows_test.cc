// Every matmul row, by name, gives the bits of the oracle: all formats, odd shapes, unaligned
// weights that end where their memory ends.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_rows.h"
#include "kernels/formats/all_blocks.h"
#include "tests/kernels/cpu/kernel_fixture.h"

namespace quern::cpu_tests {
namespace {

struct Shape {
  int64_t n_out;
  int64_t n_rows;
};

// Forces `row` and multiplies as `oracle` does.
void expect_oracle_bits(const dispatch::KernelRow& row, const formats::FormatInfo& format,
                        backend::Backend& oracle) {
  auto forced = make_backend("", 1, {"matmul=" + std::string(row.name)});
  const Shape shapes[] = {{1, 1}, {33, 1}, {15, 2}, {16, 3}, {17, 7}, {33, 16}, {16, 33}, {48, 9}};
  uint64_t seed = 1;
  for (const int64_t blocks : {1, 3, 5}) {
    // Float formats take any length; quantized ones whole blocks.
    const int64_t n_cols =
        format.quantized() ? blocks * format.block_values : 1 + 23 * (blocks - 1);
    for (const Shape& shape : shapes) {
      const RandomWeight weight(format, shape.n_out, n_cols, ++seed, 1);
      Random random(seed);
      const auto x = random.normals(static_cast<size_t>(n_cols * shape.n_rows));
      const auto bias = random.normals(static_cast<size_t>(shape.n_out));
      auto fast = forced->load_weight(weight.view(), "w");
      auto slow = oracle.load_weight(weight.view(), "w");
      ASSERT_TRUE(fast.ok() && slow.ok());
      ASSERT_EQ((*fast)->matmul_row->name, row.name) << "the forced row must be the one that runs";
      ASSERT_EQ((*slow)->matmul_row->name, "matmul.scalar.oracle");
      for (const bool with_bias : {false, true}) {
        const std::span<const float> b =
            with_bias ? std::span<const float>(bias) : std::span<const float>();
        EXPECT_TRUE(same_bits(multiply(*forced, **fast, x, shape.n_rows, b),
                              multiply(oracle, **slow, x, shape.n_rows, b)))
            << row.name << " " << format.name << " n_in " << n_cols << " n_out " << shape.n_out
            << " n_rows " << shape.n_rows;
      }
    }
  }
}

TEST(MatmulRows, EveryRowGivesTheBitsOfTheOracle) {
  auto oracle = make_backend("scalar");
  int rows = 0;
  for (const dispatch::KernelRow& row : cpu::cpu_rows()) {
    if (row.op != ops::OpId::kMatmul) continue;
    if (!this_machine().cpu.isa.contains(row.needs)) continue;
    ++rows;
    for (const formats::FormatInfo* format : weight_formats()) {
      if (row.format && *row.format != format->id) continue;
      expect_oracle_bits(row, *format, *oracle);
    }
  }
  EXPECT_GE(rows, 1);
}

// K longer than one chunk of a panel, more columns than one pass.
TEST(MatmulRows, LongRowsAndManyColumns) {
  auto oracle = make_backend("scalar");
  for (const dispatch::KernelRow& row : cpu::cpu_rows()) {
    if (row.op != ops::OpId::kMatmul || !this_machine().cpu.isa.contains(row.needs)) continue;
    const auto id = row.format.value_or(formats::FormatId::kQ6_K);
    const formats::FormatInfo& format = formats::format_info(id);
    const RandomWeight weight(format, 18, 1280, 5);
    Random random(6);
    const auto x = random.normals(1280 * 259);
    auto forced = make_backend("", 2, {"matmul=" + std::string(row.name)});
    auto fast = forced->load_weight(weight.view(), "w");
    auto slow = oracle->load_weight(weight.view(), "w");
    ASSERT_TRUE(fast.ok() && slow.ok());
    EXPECT_TRUE(same_bits(multiply(*forced, **fast, x, 259), multiply(*oracle, **slow, x, 259)))
        << row.name;
  }
}

std::vector<const dispatch::KernelRow*> tile_rows() {
  std::vector<const dispatch::KernelRow*> rows;
  for (const dispatch::KernelRow& row : cpu::cpu_rows()) {
    const bool tiles = row.needs.contains(hardware::Isa::kAmxInt8);
    if (tiles && this_machine().cpu.isa.contains(row.needs)) rows.push_back(&row);
  }
  return rows;
}

// Columns that fill no tile, one, or several, the last of them shared, in one pass and in more.
TEST(MatmulRows, TilesTakeAnyNumberOfColumns) {
  constexpr int64_t kMost = 600;
  constexpr int64_t kOut = 33;
  if (tile_rows().empty()) GTEST_SKIP() << "no tiles on this machine";
  auto oracle = make_backend("scalar", 2);
  for (const dispatch::KernelRow* row : tile_rows()) {
    const formats::FormatInfo& format = formats::format_info(*row->format);
    // More than one chunk of K, the last with a number of groups that is not a multiple of four.
    const int64_t n_in = format.block_values == 32 ? 512 + 7 * 32 : 768;
    const RandomWeight weight(format, kOut, n_in, 11);
    Random random(12);
    const auto x = random.normals(static_cast<size_t>(n_in * kMost));
    const auto slow = oracle->load_weight(weight.view(), "w");
    ASSERT_TRUE(slow.ok());
    const std::vector<float> all = multiply(*oracle, **slow, x, kMost);
    for (const int threads : {1, 3}) {
      auto forced = make_backend("", threads, {"matmul=" + std::string(row->name)});
      const auto fast = forced->load_weight(weight.view(), "w");
      ASSERT_TRUE(fast.ok());
      for (const int64_t n :
           {1, 2, 8, 9, 13, 15, 16, 17, 31, 32, 33, 47, 48, 255, 256, 257, 272, 511, 600}) {
        const auto used = std::span(x).first(static_cast<size_t>(n * n_in));
        EXPECT_TRUE(same_bits(multiply(*forced, **fast, used, n),
                              std::span(all).first(static_cast<size_t>(n * kOut))))
            << row->name << " with " << n << " columns, " << threads << " threads";
      }
    }
  }
}

// More panels than are multiplied in turns, with room for the scales of all columns and without.
TEST(MatmulRows, TilesTakeAnyNumberOfPanels) {
  constexpr int64_t kOut = 300;
  constexpr int64_t kIn = 1280;
  if (tile_rows().empty()) GTEST_SKIP() << "no tiles on this machine";
  auto oracle = make_backend("scalar", 2);
  for (const formats::FormatId id : {formats::FormatId::kQ8_0, formats::FormatId::kQ4_K}) {
    const RandomWeight weight(formats::format_info(id), kOut, kIn, 13);
    Random random(14);
    const auto x = random.normals(static_cast<size_t>(kIn * 276));
    auto fast_one = make_backend("amxint8");
    const auto fast = fast_one->load_weight(weight.view(), "w");
    const auto slow = oracle->load_weight(weight.view(), "w");
    ASSERT_TRUE(fast.ok() && slow.ok());
    EXPECT_TRUE((*fast)->matmul_row->name.starts_with("matmul.amxint8."));
    for (const int64_t n : {21, 276}) {
      const auto used = std::span(x).first(static_cast<size_t>(n * kIn));
      EXPECT_TRUE(
          same_bits(multiply(*fast_one, **fast, used, n), multiply(*oracle, **slow, used, n)))
          << n << " columns";
    }
  }
}

// Every exponent that a block can have, among them those of subnormal scales.
TEST(MatmulRows, EveryMxfp4Scale) {
  constexpr int64_t kScales = 256;
  constexpr int64_t kIn = 32;
  const formats::FormatInfo& format = formats::format_info(formats::FormatId::kMXFP4);
  std::vector<formats::BlockMXFP4> blocks(kScales);
  Random random(7);
  for (size_t i = 0; i < blocks.size(); ++i) {
    blocks[i].e = static_cast<uint8_t>(i);
    for (uint8_t& codes : blocks[i].qs) codes = static_cast<uint8_t>(random.next());
  }
  const tensor::TensorView view = {reinterpret_cast<const std::byte*>(blocks.data()), &format,
                                   kScales, kIn, sizeof(formats::BlockMXFP4)};
  auto oracle = make_backend("scalar");
  const auto slow = oracle->load_weight(view, "w");
  ASSERT_TRUE(slow.ok());
  auto x = random.normals(kIn * 2);
  const auto large = random.normals(kIn, 1e20F);
  x.insert(x.end(), large.begin(), large.end());
  const auto expected = multiply(*oracle, **slow, x, 3);
  for (const std::string& cap : isa_caps()) {
    auto backend = make_backend(cap);
    const auto fast = backend->load_weight(view, "w");
    ASSERT_TRUE(fast.ok());
    EXPECT_TRUE(same_bits(multiply(*backend, **fast, x, 3), expected)) << cap;
  }
}

// Results must not depend on who else is in the batch, nor on threads.
TEST(MatmulRows, BatchAndThreadsDoNotMatter) {
  constexpr int64_t kIn = 512;
  constexpr int64_t kOut = 100;
  constexpr int64_t kRows = 21;
  for (const formats::FormatInfo* format : weight_formats()) {
    const RandomWeight weight(*format, kOut, kIn, 3);
    Random random(4);
    const auto x = random.normals(kIn * kRows);
    auto single = make_backend("", 1);
    auto w = single->load_weight(weight.view(), "w");
    ASSERT_TRUE(w.ok());
    std::vector<float> one_by_one;
    for (int64_t r = 0; r < kRows; ++r) {
      const auto y =
          multiply(*single, **w, std::span(x).subspan(static_cast<size_t>(r * kIn), kIn), 1);
      one_by_one.insert(one_by_one.end(), y.begin(), y.end());
    }
    for (int threads = 1; threads <= 4; ++threads) {
      auto backend = make_backend("", threads);
      auto loaded = backend->load_weight(weight.view(), "w");
      ASSERT_TRUE(loaded.ok());
      EXPECT_TRUE(same_bits(multiply(*backend, **loaded, x, kRows), one_by_one))
          << format->name << " with " << threads << " threads";
    }
  }
}

// Several outputs of different formats from one x, as Q, K and V of a mixed file.
TEST(MatmulRows, OutputsShareTheInput) {
  auto backend = make_backend("", 3);
  const RandomWeight a(formats::format_info(formats::FormatId::kQ4_K), 40, 256, 1);
  const RandomWeight b(formats::format_info(formats::FormatId::kQ6_K), 17, 256, 2);
  const RandomWeight c(formats::format_info(formats::FormatId::kF16), 33, 256, 3);
  const RandomWeight d(formats::format_info(formats::FormatId::kF64), 33, 256, 3);
  Random random(9);
  const auto x = random.normals(256 * 5);
  std::vector<std::unique_ptr<const dispatch::Weight>> weights;
  std::vector<std::vector<float>> shared;
  std::vector<ops::MatmulOutput> outputs;
  for (const RandomWeight* w : {&a, &b, &c, &d}) {
    weights.push_back(std::move(backend->load_weight(w->view(), "w")).value());
    shared.emplace_back(static_cast<size_t>(5 * w->view().n_rows));
    outputs.push_back({weights.back().get(), nullptr, shared.back().data(), w->view().n_rows});
  }
  backend->matmul({x.data(), 256, 5, outputs});
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(same_bits(shared[i], multiply(*backend, *weights[i], x, 5))) << i;
  }
}

TEST(MatmulRows, NanAndInfinityStayInTheirRow) {
  constexpr int64_t kIn = 256;
  constexpr int64_t kRows = 12;
  for (const std::string& cap : isa_caps()) {
    auto backend = make_backend(cap);
    for (const formats::FormatInfo* format : weight_formats()) {
      const RandomWeight weight(*format, 20, kIn, 8);
      auto w = backend->load_weight(weight.view(), "w");
      ASSERT_TRUE(w.ok());
      Random random(2);
      auto x = random.normals(kIn * kRows);
      const auto clean = multiply(*backend, **w, x, kRows);
      x[3 * kIn + 70] = std::numeric_limits<float>::quiet_NaN();
      x[9 * kIn + 5] = std::numeric_limits<float>::infinity();
      const auto y = multiply(*backend, **w, x, kRows);
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t o = 0; o < 20; ++o) {
          const auto i = static_cast<size_t>(r * 20 + o);
          if (r == 3) {
            EXPECT_TRUE(std::isnan(y[i])) << cap << " " << format->name;
          } else if (r == 9) {
            EXPECT_FALSE(std::isfinite(y[i])) << cap << " " << format->name;
          } else {
            EXPECT_TRUE(same_bits({&y[i], 1}, {&clean[i], 1})) << cap << " " << format->name;
          }
        }
      }
    }
  }
}

TEST(MatmulRows, TinyHugeAndZeroActivations) {
  auto oracle = make_backend("scalar");
  for (const std::string& cap : isa_caps()) {
    auto backend = make_backend(cap);
    for (const formats::FormatInfo* format : weight_formats()) {
      const RandomWeight weight(*format, 16, 256, 8);
      auto w = backend->load_weight(weight.view(), "w");
      auto o = oracle->load_weight(weight.view(), "w");
      ASSERT_TRUE(w.ok() && o.ok());
      Random random(2);
      std::vector<float> x;
      for (const float scale : {0.0F, 1e-44F, 1e-38F, 0x1p-100F, 1e-20F, 1e20F, 3e38F}) {
        const auto row = random.normals(256, scale);
        x.insert(x.end(), row.begin(), row.end());
      }
      EXPECT_TRUE(same_bits(multiply(*backend, **w, x, 7), multiply(*oracle, **o, x, 7)))
          << cap << " " << format->name;
    }
  }
}

}  // namespace
}  // namespace quern::cpu_tests
