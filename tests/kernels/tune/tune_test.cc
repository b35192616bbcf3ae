// The tuner names rows that the planner then takes, for the formats asked for. Which row is the
// fastest is the machine's business.
#include "kernels/cpu/tune/tune.h"

#include <gtest/gtest.h>

#include <array>

#include "kernels/cpu/cpu_rows.h"
#include "kernels/dispatch/plan.h"

namespace quern::cpu {
namespace {

using dispatch::ShapeClass;
using formats::FormatId;

TEST(Tune, NamesRowsThatThePlannerTakes) {
  hardware::HardwareProfile profile = hardware::probe_hardware();
  const std::array formats = {FormatId::kQ4_K, FormatId::kQ8_0};
  std::vector<std::string> seen;
  TuneOptions options;
  options.threads = 1;
  options.formats = formats;
  options.rounds = 1;
  options.progress = [&](std::string_view name) { seen.emplace_back(name); };
  const auto tuned = tune_rows(profile, options);
  ASSERT_TRUE(tuned.ok()) << tuned.error().message();
  if (tuned->empty()) GTEST_SKIP() << "one row per format on this machine";
  EXPECT_EQ(seen.size(), 2U);
  EXPECT_EQ(tuned->size(), 4U);

  profile.tuned = *tuned;
  const auto registry = dispatch::KernelRegistry::create(cpu_rows());
  ASSERT_TRUE(registry.ok());
  const auto planner = dispatch::Planner::create(*registry, profile, "", {});
  ASSERT_TRUE(planner.ok());
  for (const FormatId format : formats) {
    for (const ShapeClass shape : {ShapeClass::kDecode, ShapeClass::kBatch}) {
      const formats::FormatInfo& info = formats::format_info(format);
      const auto choice = planner->choose({ops::OpId::kMatmul, &info, 2048, shape});
      ASSERT_TRUE(choice.ok());
      EXPECT_EQ(choice->row->name,
                tuned->at(dispatch::tuned_key(ops::OpId::kMatmul, info.name, shape)));
      EXPECT_TRUE(choice->why.starts_with("measured best")) << choice->why;
    }
  }
}

}  // namespace
}  // namespace quern::cpu
