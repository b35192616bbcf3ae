// The rows on AMX tiles give the bits of the oracle, with the tile unit emulated. On a machine with
// AMX, matmul_rows_test compares the instructions themselves.
#include <gtest/gtest.h>

#include <string>

#include "kernels/cpu/cpu_scratch.h"
#include "kernels/cpu/format_kernels.h"
#include "kernels/cpu/isa_kernels.h"
#include "tests/kernels/cpu/kernel_fixture.h"
#include "tests/kernels/cpu/tile_kernels_emulated.h"

namespace quern::cpu_tests {
namespace {

using cpu::MatmulFn;
using cpu::MatmulKernels;
using formats::FormatId;

struct TileFormat {
  FormatId format;
  MatmulFn MatmulKernels::*kernel;
};
constexpr TileFormat kTileFormats[] = {
    {FormatId::kQ4_0, &MatmulKernels::q4_0},       {FormatId::kQ4_1, &MatmulKernels::q4_1},
    {FormatId::kQ5_0, &MatmulKernels::q5_0},       {FormatId::kQ5_1, &MatmulKernels::q5_1},
    {FormatId::kQ8_0, &MatmulKernels::q8_0},       {FormatId::kQ2_K, &MatmulKernels::q2_k},
    {FormatId::kQ3_K, &MatmulKernels::q3_k},       {FormatId::kQ4_K, &MatmulKernels::q4_k},
    {FormatId::kQ5_K, &MatmulKernels::q5_k},       {FormatId::kQ6_K, &MatmulKernels::q6_k},
    {FormatId::kIQ4_NL, &MatmulKernels::iq4_nl},   {FormatId::kIQ4_XS, &MatmulKernels::iq4_xs},
    {FormatId::kMXFP4, &MatmulKernels::mxfp4},     {FormatId::kNVFP4, &MatmulKernels::nvfp4},
    {FormatId::kIQ1_S, &MatmulKernels::iq1_s},     {FormatId::kIQ1_M, &MatmulKernels::iq1_m},
    {FormatId::kIQ2_XXS, &MatmulKernels::iq2_xxs}, {FormatId::kIQ2_XS, &MatmulKernels::iq2_xs},
    {FormatId::kIQ2_S, &MatmulKernels::iq2_s},     {FormatId::kIQ3_XXS, &MatmulKernels::iq3_xxs},
    {FormatId::kIQ3_S, &MatmulKernels::iq3_s},     {FormatId::kTQ1_0, &MatmulKernels::tq1_0},
    {FormatId::kTQ2_0, &MatmulKernels::tq2_0},     {FormatId::kQ1_0, &MatmulKernels::q1_0},
};

std::vector<float> multiply_with(MatmulFn kernel, const RandomWeight& weight,
                                 std::span<const float> x, int64_t n_rows) {
  const tensor::TensorView& view = weight.view();
  const cpu::FormatKernels& format = cpu::format_kernels(view.format->id);
  cpu::ActivationStore activations;
  cpu::WorkerScratch workers(1);
  const auto forms = cpu::ActivationForms::of(format.input);
  CHECK(activations.reserve(forms, n_rows, view.n_cols).ok() && workers.reserve_matmul(0).ok());
  const cpu::QuantizeTask quantize = activations.task(forms, x.data(), view.n_cols, 0, view.n_cols);
  cpu::kScalarOps.quantize(quantize, 0, n_rows);
  std::vector<float> y(static_cast<size_t>(n_rows * view.n_rows));
  cpu::MatmulTask task{};
  task.weight = view.data;
  task.row_bytes = view.row_bytes;
  task.n_out = view.n_rows;
  task.n_in = view.n_cols;
  task.format = &format.panel;
  task.oracle = format.oracle;
  task.xq = activations.rows();
  task.xs = activations.super_rows();
  task.n_rows = n_rows;
  task.y = y.data();
  task.y_stride = view.n_rows;
  kernel(task, 0, (view.n_rows + cpu::kPanelRows - 1) / cpu::kPanelRows, workers.matmul(0));
  return y;
}

TEST(TileRows, EmulatedTilesGiveTheBitsOfTheOracle) {
  const auto needs = hardware::Isa::kAvx512 | hardware::Isa::kAvx512Vnni;
  if (!this_machine().cpu.isa.contains(needs)) {
    GTEST_SKIP() << "the part around the emulated tiles needs AVX-512 VNNI";
  }
  uint64_t seed = 1;
  for (const TileFormat& tile : kTileFormats) {
    const formats::FormatInfo& format = formats::format_info(tile.format);
    ASSERT_NE(kEmulatedTileMatmul.*tile.kernel, nullptr) << format.name;
    // Odd and even numbers of groups, one chunk and more; columns that fill tiles, some and none.
    for (const int64_t n_cols : {1, 3, 5, 40}) {
      const RandomWeight weight(format, 35, n_cols * format.block_values, ++seed, 1);
      for (const int64_t n_rows : {1, 9, 15, 16, 33, 260}) {
        if (n_cols == 40 && (n_rows != 33 || format.block_values != 32)) continue;
        Random random(seed);
        const auto x = random.normals(static_cast<size_t>(n_rows * weight.view().n_cols));
        EXPECT_TRUE(same_bits(multiply_with(kEmulatedTileMatmul.*tile.kernel, weight, x, n_rows),
                              multiply_with(cpu::kScalarOracle, weight, x, n_rows)))
            << format.name << " n_in " << weight.view().n_cols << " n_rows " << n_rows;
      }
    }
  }
}

}  // namespace
}  // namespace quern::cpu_tests
