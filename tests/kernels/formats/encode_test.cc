// Encoding is bit-equal to gguf.quants.quantize (goldens), bounded in error, and never traps.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "kernels/formats/format.h"
#include "tests/kernels/formats/golden_file.h"

namespace quern::formats {
namespace {

TEST(EncodeTest, MatchesTheReferenceBitForBit) {
  const auto records = read_golden("encode.bin");
  ASSERT_EQ(records.size(), 10U);
  for (const GoldenRecord& r : records) {
    SCOPED_TRACE(r.name);
    const FormatInfo* info = find_format_by_name(r.name);
    ASSERT_NE(info, nullptr);
    ASSERT_NE(info->encode_row, nullptr);
    std::vector<std::byte> out(r.blocks.size());
    info->encode_row(r.values.data(), out.data(), static_cast<int64_t>(r.values.size()));
    size_t wrong = 0;
    for (size_t b = 0; b < r.n_blocks; ++b) {
      if (std::memcmp(&out[b * r.block_bytes], &r.blocks[b * r.block_bytes], r.block_bytes) == 0) {
        continue;
      }
      if (++wrong <= 3) ADD_FAILURE() << "block " << b << " differs";
    }
    EXPECT_EQ(wrong, 0U) << "of " << r.n_blocks;
  }
}

// Root-mean-square error of normally distributed weights, relative to their deviation.
double relative_error(const FormatInfo& info) {
  constexpr int64_t kValues = 4096;
  std::mt19937 generator(7);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::vector<float> x(kValues);
  for (float& v : x) v = normal(generator);
  std::vector<std::byte> bytes(*row_bytes(info, kValues));
  std::vector<float> back(kValues);
  info.encode_row(x.data(), bytes.data(), kValues);
  info.decode_row(bytes.data(), back.data(), kValues);
  double error = 0;
  double power = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (double{x[i]} - back[i]) * (double{x[i]} - back[i]);
    power += double{x[i]} * x[i];
  }
  return std::sqrt(error / power);
}

TEST(EncodeTest, ErrorFallsWithTheBits) {
  for (const FormatInfo& info : all_formats()) {
    if (info.encode_row == nullptr) continue;
    const double error = relative_error(info);
    const double bits = info.bits_per_value();
    const double bound = info.family == FormatFamily::kTernary ? 0.8 : 3.0 * std::exp2(-bits);
    RecordProperty(std::string(info.name), std::to_string(error));
    EXPECT_LE(error, std::max(bound, info.quantized() ? 0.008 : 0.002))
        << info.name << " at " << bits << " bits";
  }
}

TEST(EncodeTest, ZerosComeBackAsZeros) {
  for (const FormatInfo& info : all_formats()) {
    if (info.encode_row == nullptr) continue;
    std::vector<float> x(256, 0.0F);
    std::vector<std::byte> bytes(*row_bytes(info, x.size()));
    info.encode_row(x.data(), bytes.data(), 256);
    info.decode_row(bytes.data(), x.data(), 256);
    for (const float v : x) ASSERT_EQ(v, 0.0F) << info.name;
  }
}

// No particular result, but no undefined conversion either (the sanitizer build watches).
TEST(EncodeTest, StrangeInputDoesNotTrap) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float huge = std::numeric_limits<float>::max();
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const FormatInfo& info : all_formats()) {
    if (info.encode_row == nullptr) continue;
    for (const float special : {inf, -inf, nan, huge, -huge, tiny, -tiny}) {
      for (const float rest : {0.0F, 1.0F, tiny, huge, -huge}) {
        std::vector<float> x(256, rest);
        x[3] = special;
        std::vector<std::byte> bytes(*row_bytes(info, x.size()));
        info.encode_row(x.data(), bytes.data(), 256);
        info.decode_row(bytes.data(), x.data(), 256);
      }
    }
  }
}

}  // namespace
}  // namespace quern::formats
