// Checked arithmetic at its borders.
#include "config/base/checked.h"

#include <gtest/gtest.h>

#include <array>

namespace quern {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(Checked, AddRefusesOnlyWhatWraps) {
  EXPECT_EQ(checked_add(kMax - 1, 1), kMax);
  EXPECT_EQ(checked_add(kMax, 0), kMax);
  EXPECT_FALSE(checked_add(kMax, 1));
  EXPECT_FALSE(checked_add(kMax, kMax));
}

TEST(Checked, MulRefusesOnlyWhatWraps) {
  EXPECT_EQ(checked_mul(kMax, 1), kMax);
  EXPECT_EQ(checked_mul(uint64_t{1} << 32, (uint64_t{1} << 32) - 1), kMax - (kMax >> 32));
  EXPECT_FALSE(checked_mul(uint64_t{1} << 32, uint64_t{1} << 32));
  EXPECT_EQ(checked_mul(kMax, 0), 0u);
}

TEST(Checked, AlignUpRefusesToWrap) {
  EXPECT_EQ(checked_align_up(0, 32), 0u);
  EXPECT_EQ(checked_align_up(1, 32), 32u);
  EXPECT_EQ(checked_align_up(32, 32), 32u);
  EXPECT_EQ(checked_align_up(kMax - 31, 32), kMax - 31);
  EXPECT_FALSE(checked_align_up(kMax - 30, 32));
  EXPECT_FALSE(checked_align_up(kMax, 32));
  EXPECT_EQ(checked_align_up(kMax, 1), kMax);
}

TEST(Checked, RangeFitsCannotBeFooledByWrapping) {
  EXPECT_TRUE(range_fits(0, 10, 10));
  EXPECT_TRUE(range_fits(10, 0, 10));
  EXPECT_FALSE(range_fits(11, 0, 10));
  EXPECT_FALSE(range_fits(5, 6, 10));
  EXPECT_FALSE(range_fits(kMax - 31, 64, 1000));  // the sum wraps to 32
  EXPECT_FALSE(range_fits(1, kMax, kMax));
}

TEST(Checked, LoadUnalignedReadsAnyAddress) {
  const std::array<unsigned char, 9> bytes{0xff, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(load_unaligned<uint32_t>(bytes.data() + 1), 0x04030201u);
  EXPECT_EQ(load_unaligned<uint64_t>(bytes.data() + 1), 0x0807060504030201u);
}

TEST(Checked, CastRefusesWhatDoesNotFit) {
  EXPECT_EQ(checked_cast<uint8_t>(255), uint8_t{255});
  EXPECT_FALSE(checked_cast<uint8_t>(256));
  EXPECT_FALSE(checked_cast<uint32_t>(-1));
  EXPECT_FALSE(checked_cast<int32_t>(uint32_t{1} << 31));
  EXPECT_FALSE(checked_cast<int64_t>(kMax));
  EXPECT_EQ(checked_cast<int8_t>(int64_t{-128}), int8_t{-128});
}

}  // namespace
}  // namespace quern
