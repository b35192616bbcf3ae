// Decoding is bit-equal to gguf.quants.dequantize (goldens), and to the written definition for the
// formats that the package does not decode.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>

#include "kernels/formats/all_blocks.h"
#include "kernels/formats/decode.h"
#include "kernels/formats/format.h"
#include "tests/kernels/formats/golden_file.h"

namespace quern::formats {
namespace {

uint32_t comparable_bits(float value) {
  return std::isnan(value) ? 0x7FC00000U : std::bit_cast<uint32_t>(value);
}

template <typename Block>
std::vector<float> decode_one(FormatId id, const Block& block) {
  const FormatInfo& info = format_info(id);
  EXPECT_EQ(static_cast<size_t>(info.block_bytes), sizeof(Block));
  std::vector<std::byte> bytes(sizeof(Block) + 1);
  std::memcpy(bytes.data() + 1, &block, sizeof(Block));  // an odd address on purpose
  std::vector<float> out(static_cast<size_t>(info.block_values));
  info.decode_row(bytes.data() + 1, out.data(), info.block_values);
  return out;
}

TEST(DecodeTest, MatchesTheReferenceBitForBit) {
  const auto records = read_golden("decode.bin");
  ASSERT_EQ(records.size(), 25U);
  for (const GoldenRecord& r : records) {
    SCOPED_TRACE(r.name);
    const FormatInfo* info = find_format_by_name(r.name);
    ASSERT_NE(info, nullptr);
    ASSERT_EQ(static_cast<uint32_t>(info->block_bytes), r.block_bytes);
    ASSERT_EQ(static_cast<uint32_t>(info->block_values), r.block_values);
    std::vector<float> out(r.values.size());
    info->decode_row(r.blocks.data(), out.data(), static_cast<int64_t>(out.size()));
    size_t wrong = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      if (comparable_bits(out[i]) == comparable_bits(r.values[i])) continue;
      if (++wrong <= 3) ADD_FAILURE() << "value " << i << ": " << out[i] << " != " << r.values[i];
    }
    EXPECT_EQ(wrong, 0U) << "of " << out.size();
  }
}

// Formats whose definition is checked by hand below, because the package does not decode them.
const std::set<std::string_view> kByHand = {"F32", "F64", "Q8_1", "Q8_K", "Q1_0"};

TEST(DecodeTest, EveryDecoderHasAnOracle) {
  std::set<std::string_view> covered = kByHand;
  const auto records = read_golden("decode.bin");
  for (const GoldenRecord& r : records) covered.insert(r.name);
  for (const FormatInfo& info : all_formats()) {
    EXPECT_EQ(covered.contains(info.name), info.decode_row != nullptr) << info.name;
  }
}

TEST(DecodeTest, F32AndF64) {
  EXPECT_EQ(decode_one(FormatId::kF32, BlockF32{-0x1p-149F})[0], -0x1p-149F);
  EXPECT_EQ(decode_one(FormatId::kF64, BlockF64{0.1})[0], 0.1F);
  EXPECT_TRUE(std::isinf(decode_one(FormatId::kF64, BlockF64{1e300})[0]));
}

TEST(DecodeTest, Q8_1IgnoresTheSum) {
  BlockQ8_1 block{};
  block.d = 0x3800;  // 0.5
  block.s = 0x7E00;  // NaN
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<int8_t>(8 * i - 128);
  const auto out = decode_one(FormatId::kQ8_1, block);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], 0.5F * float(8 * i - 128));
}

TEST(DecodeTest, Q8_KIgnoresTheSums) {
  BlockQ8_K block{};
  block.d = 0.1F;
  for (int i = 0; i < 256; ++i) block.q[i] = static_cast<int8_t>(i - 128);
  for (int i = 0; i < 16; ++i) block.bsums[i] = -1;
  const auto out = decode_one(FormatId::kQ8_K, block);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], float(i - 128) * 0.1F);
}

TEST(DecodeTest, Q1_0IsASignPerBit) {
  BlockQ1_0 block{};
  block.d = 0x3C00;  // 1
  block.qs[0] = 0x01;
  block.qs[4] = 0x80;
  block.qs[15] = 0xC0;
  const auto out = decode_one(FormatId::kQ1_0, block);
  for (size_t i = 0; i < 128; ++i) {
    const bool set = i == 0 || i == 39 || i == 126 || i == 127;
    EXPECT_EQ(out[i], set ? 1.0F : -1.0F) << i;
  }
}

TEST(DecodeTest, SeveralBlocksFollowEachOther) {
  const FormatInfo& info = format_info(FormatId::kQ8_0);
  BlockQ8_0 blocks[2] = {};
  blocks[0].d = 0x3C00;
  blocks[0].q[31] = 7;
  blocks[1].d = 0x4000;
  blocks[1].q[0] = -3;
  float out[64];
  info.decode_row(reinterpret_cast<const std::byte*>(blocks), out, 64);
  EXPECT_EQ(out[31], 7.0F);
  EXPECT_EQ(out[32], -6.0F);
}

// Every code stays inside the documented range, whatever the bytes.
template <typename Format>
void expect_codes_in_range(std::string_view name) {
  if constexpr (kIsQuantized<Format>) {
    uint32_t state = 1;
    int lowest = 127;
    int highest = -128;
    for (int repeat = 0; repeat < 400; ++repeat) {
      typename Format::Block block;
      auto* bytes = reinterpret_cast<unsigned char*>(&block);
      for (size_t i = 0; i < sizeof(block); ++i) {
        state = state * 1664525U + 1013904223U;
        bytes[i] = static_cast<unsigned char>(state >> 24);
      }
      for (int g = 0; g < kGroupsPerBlock<Format>; ++g) {
        int8_t q[Format::kGroupValues];
        Format::unpack_group(block, g, q);
        for (const int8_t code : q) {
          lowest = std::min<int>(lowest, code);
          highest = std::max<int>(highest, code);
        }
      }
    }
    EXPECT_EQ(lowest, int{Format::kQMin}) << name;
    EXPECT_EQ(highest, int{Format::kQMax}) << name;
  }
}

TEST(DecodeTest, CodesFillTheDocumentedRangeAndNoMore) {
#define QUERN_FORMAT(id, name, traits) expect_codes_in_range<traits>(name);
#include "kernels/formats/format_list.inc"
#undef QUERN_FORMAT
}

}  // namespace
}  // namespace quern::formats
