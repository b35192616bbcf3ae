// Choosing rows: rank, needs, shape limits, caps, force by name, measured choices, and the
// sentences.
#include "kernels/dispatch/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace quern::dispatch {
namespace {

using formats::FormatId;
using hardware::Isa;
using hardware::IsaMask;
using ops::OpId;
using testing::HasSubstr;

const std::array kRows = {
    KernelRow{"matmul.scalar", OpId::kMatmul, std::nullopt, IsaMask(), 1, 1000, nullptr},
    KernelRow{"matmul.avx2.any", OpId::kMatmul, std::nullopt, Isa::kAvx2, 1, 350, nullptr},
    KernelRow{"matmul.avx2.q4_0", OpId::kMatmul, FormatId::kQ4_0, Isa::kAvx2, 256, 300, nullptr},
    KernelRow{"matmul.amx.q8_0", OpId::kMatmul, FormatId::kQ8_0, Isa::kAmxInt8, 1, 50, nullptr},
    KernelRow{"add.scalar", OpId::kAdd, std::nullopt, IsaMask(), 1, 1000, nullptr},
};

hardware::HardwareProfile machine(IsaMask isa) {
  hardware::HardwareProfile profile;
  profile.cpu.isa = isa;
  return profile;
}

Result<Planner> make_planner(IsaMask isa, std::vector<std::string> forced = {},
                             std::string_view cap = "") {
  auto registry = KernelRegistry::create(kRows);
  CHECK(registry.ok());
  return Planner::create(*registry, machine(isa), cap, forced);
}

RowRequest matmul(FormatId format, int64_t n_in) {
  return {OpId::kMatmul, &formats::format_info(format), n_in};
}

TEST(Plan, LowestRankThatFits) {
  auto planner = make_planner(Isa::kAvx2);
  ASSERT_TRUE(planner.ok());
  EXPECT_EQ(planner->choose(matmul(FormatId::kQ4_0, 512))->row->name, "matmul.avx2.q4_0");
  const auto odd = planner->choose(matmul(FormatId::kQ4_0, 288));
  EXPECT_EQ(odd->row->name, "matmul.avx2.any");
  EXPECT_THAT(odd->why, HasSubstr("not matmul.avx2.q4_0: needs columns divisible by 256"));
  const auto q8 = planner->choose(matmul(FormatId::kQ8_0, 512));
  EXPECT_EQ(q8->row->name, "matmul.avx2.any");
  EXPECT_THAT(q8->why, HasSubstr("not matmul.amx.q8_0: needs amxint8"));
  EXPECT_EQ(planner->choose({OpId::kAdd})->row->name, "add.scalar");
}

TEST(Plan, CapHidesInstructionSets) {
  auto scalar = make_planner(Isa::kAvx2 | Isa::kAmxInt8, {}, "scalar");
  EXPECT_EQ(scalar->choose(matmul(FormatId::kQ8_0, 512))->row->name, "matmul.scalar");
  auto avx2 = make_planner(Isa::kAvx2 | Isa::kAmxInt8, {}, "avx2");
  EXPECT_EQ(avx2->choose(matmul(FormatId::kQ8_0, 512))->row->name, "matmul.avx2.any");
  EXPECT_THAT(make_planner(Isa::kAvx2, {}, "sse9").error().message(), HasSubstr("'sse9'"));
}

TEST(Plan, ForcedRows) {
  auto planner = make_planner(Isa::kAvx2, {"matmul=matmul.avx2.q4_0", "matmul=matmul.scalar"});
  ASSERT_TRUE(planner.ok());
  EXPECT_EQ(planner->choose(matmul(FormatId::kQ4_0, 512))->row->name, "matmul.avx2.q4_0");
  EXPECT_EQ(planner->choose(matmul(FormatId::kQ8_0, 512))->row->name, "matmul.scalar");
  const auto misfit = planner->choose(matmul(FormatId::kQ4_0, 288));
  ASSERT_FALSE(misfit.ok());
  EXPECT_THAT(misfit.error().message(), HasSubstr("multiple of 256, not 288"));
}

TEST(Plan, ForcedRowsThatCannotBe) {
  EXPECT_THAT(make_planner(IsaMask(), {"matmul=matmul.avx2.any"}).error().message(),
              HasSubstr("needs avx2"));
  EXPECT_THAT(make_planner(Isa::kAvx2, {"matmul=matmul.avx2.any"}, "scalar").error().message(),
              HasSubstr("needs avx2"));
  EXPECT_THAT(make_planner(IsaMask(), {"matmul=nothing"}).error().message(),
              HasSubstr("no such row for 'matmul'"));
  EXPECT_THAT(make_planner(IsaMask(), {"add=matmul.scalar"}).error().message(),
              HasSubstr("no such row for 'add'"));
  EXPECT_THAT(make_planner(IsaMask(), {"dance=matmul.scalar"}).error().message(),
              HasSubstr("no known operation"));
  EXPECT_THAT(make_planner(IsaMask(), {"matmul"}).error().message(), HasSubstr("op=row"));
}

TEST(Plan, MeasuredRowsWin) {
  auto profile = machine(Isa::kAvx2);
  profile.tuned["matmul/Q4_0/batch"] = "matmul.avx2.any";
  profile.tuned["matmul/Q8_0/batch"] = "matmul.amx.q8_0";  // from another machine
  auto registry = KernelRegistry::create(kRows);
  auto planner = Planner::create(*registry, profile, "", {});
  const auto choice = planner->choose(matmul(FormatId::kQ4_0, 512));
  EXPECT_EQ(choice->row->name, "matmul.avx2.any");
  EXPECT_THAT(choice->why, HasSubstr("measured best"));
  EXPECT_EQ(planner->choose(matmul(FormatId::kQ8_0, 512))->row->name, "matmul.avx2.any");
}

TEST(Registry, RefusesDuplicatesAndGaps) {
  const std::array twice = {kRows[0], kRows[0]};
  EXPECT_THAT(KernelRegistry::create(twice).error().message(), HasSubstr("used twice"));
  const std::array gap = {kRows[1]};
  EXPECT_THAT(KernelRegistry::create(gap).error().message(), HasSubstr("every processor"));
}

TEST(Registry, OpNamesRoundTrip) {
  for (int i = 0; i < static_cast<int>(OpId::kCount); ++i) {
    const auto op = static_cast<OpId>(i);
    EXPECT_EQ(find_op(op_name(op)), op);
  }
  EXPECT_EQ(find_op("dance"), std::nullopt);
}

}  // namespace
}  // namespace quern::dispatch
