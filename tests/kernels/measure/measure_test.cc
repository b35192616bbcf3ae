// The measurement of ceilings: every figure is there and every loop computes what it claims. Speed
// itself is not asserted.
#include "kernels/cpu/measure/measure.h"

#include <gtest/gtest.h>

#include "kernels/cpu/measure/rate_kernel.h"

namespace quern::cpu {
namespace {

#if defined(__x86_64__)
// bytes are 3 and 5: each 32-bit lane gains 4 * 15 per iteration and chain.
TEST(RateLoops, CountTheirOperations) {
  using hardware::Isa;
  const hardware::IsaMask isa = hardware::probe_hardware().cpu.isa;
  const std::pair<hardware::IsaMask, const RateLoops*> all[] = {
      {Isa::kAvx2, &kRateAvx2},
      {Isa::kAvx2 | Isa::kAvxVnni, &kRateAvxVnni},
      {Isa::kAvx512, &kRateAvx512},
      {Isa::kAvx512 | Isa::kAvx512Vnni, &kRateAvx512Vnni}};
  int ran = 0;
  for (const auto& [needs, loops] : all) {
    if (!isa.contains(needs)) continue;
    ++ran;
    const double products = loops->int8_operations / 2;
    EXPECT_EQ(static_cast<double>(loops->int8(7)), 7 * products * 15) << needs.to_string();
    const double f32_products = loops->f32_operations / 2;
    EXPECT_EQ(static_cast<double>(loops->f32(8)), 8 * f32_products * 0.5) << needs.to_string();
  }
  if (ran == 0) GTEST_SKIP() << "no vector instruction set of the list on this machine";
}

TEST(RateLoops, TilesCountTheirOperations) {
  if (!hardware::probe_hardware().cpu.isa.contains(hardware::Isa::kAmxInt8)) {
    GTEST_SKIP() << "no tiles on this machine";
  }
  const double products = kRateAmxInt8.int8_operations / 2;
  EXPECT_EQ(static_cast<double>(kRateAmxInt8.int8(7)), 7 * products * 15);
}
#endif

TEST(Measure, FillsEveryFigure) {
  const hardware::HardwareProfile profile = hardware::probe_hardware();
  int parts = 0;
  MeasureOptions options;
  options.threads = 1;
  options.progress = [&](std::string_view) { ++parts; };
  const auto measured = measure_cpu(profile, options);
  ASSERT_TRUE(measured.ok()) << measured.error().message();
  EXPECT_GE(parts, 3);
  EXPECT_EQ(measured->threads, 1);
  EXPECT_GT(measured->read_bandwidth_gbs, 0);
  EXPECT_GT(measured->mapped_read_bandwidth_gbs, 0);
  EXPECT_GT(measured->int8_tops, 0);
  EXPECT_GT(measured->f32_tflops, 0);
  EXPECT_EQ(measured->int8_tile_tops > 0, profile.cpu.isa.contains(hardware::Isa::kAmxInt8));
  const hardware::Measured now = CeilingProbe(profile, 1, {}).sample();
  EXPECT_GT(now.int8_tops, 0);
  EXPECT_EQ(now.int8_tile_tops > 0, profile.cpu.isa.contains(hardware::Isa::kAmxInt8));
}

TEST(Measure, RefusesWithoutMemory) {
  hardware::HardwareProfile profile = hardware::probe_hardware();
  profile.memory.available_bytes = 1 << 20;
  const auto measured = measure_cpu(profile, {});
  ASSERT_FALSE(measured.ok());
  EXPECT_EQ(measured.error().kind(), ErrorKind::kOutOfMemory);
}

}  // namespace
}  // namespace quern::cpu
