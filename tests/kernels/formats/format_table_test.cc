// The table of formats: dense ids, unique names and codes, lookups, sizes, overflow.
#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

#include "kernels/formats/format.h"

namespace quern::formats {
namespace {

TEST(FormatTableTest, IdsAreDenseAndLookupsReturnTheRow) {
  std::set<std::string_view> names;
  std::set<uint32_t> codes;
  ASSERT_EQ(all_formats().size(), kFormatCount);
  for (size_t i = 0; i < kFormatCount; ++i) {
    const FormatInfo& info = all_formats()[i];
    EXPECT_EQ(static_cast<size_t>(info.id), i);
    EXPECT_EQ(&format_info(info.id), &info);
    EXPECT_EQ(find_format_by_gguf_code(info.gguf_code), &info);
    EXPECT_EQ(find_format_by_name(info.name), &info);
    std::string lower(info.name);
    for (char& c : lower) c = static_cast<char>(std::tolower(c));
    EXPECT_EQ(find_format_by_name(lower), &info);
    EXPECT_TRUE(names.insert(info.name).second);
    EXPECT_TRUE(codes.insert(info.gguf_code).second);
    EXPECT_EQ(info.quantized(), info.group_values != 0);
  }
}

struct Published {
  const char* name;
  uint32_t code;
  int block_values;
  int block_bytes;
};

// GGMLQuantizationType and GGML_QUANT_SIZES of the gguf package 0.19.0; Q8_1 has 36 bytes since the
// scale and sum became f16 (the package still lists 40).
constexpr Published kPublished[] = {
    {"F32", 0, 1, 4},         {"F16", 1, 1, 2},         {"Q4_0", 2, 32, 18},
    {"Q4_1", 3, 32, 20},      {"Q5_0", 6, 32, 22},      {"Q5_1", 7, 32, 24},
    {"Q8_0", 8, 32, 34},      {"Q8_1", 9, 32, 36},      {"Q2_K", 10, 256, 84},
    {"Q3_K", 11, 256, 110},   {"Q4_K", 12, 256, 144},   {"Q5_K", 13, 256, 176},
    {"Q6_K", 14, 256, 210},   {"Q8_K", 15, 256, 292},   {"IQ2_XXS", 16, 256, 66},
    {"IQ2_XS", 17, 256, 74},  {"IQ3_XXS", 18, 256, 98}, {"IQ1_S", 19, 256, 50},
    {"IQ4_NL", 20, 32, 18},   {"IQ3_S", 21, 256, 110},  {"IQ2_S", 22, 256, 82},
    {"IQ4_XS", 23, 256, 136}, {"I8", 24, 1, 1},         {"I16", 25, 1, 2},
    {"I32", 26, 1, 4},        {"I64", 27, 1, 8},        {"F64", 28, 1, 8},
    {"IQ1_M", 29, 256, 56},   {"BF16", 30, 1, 2},       {"TQ1_0", 34, 256, 54},
    {"TQ2_0", 35, 256, 66},   {"MXFP4", 39, 32, 17},    {"NVFP4", 40, 64, 36},
    {"Q1_0", 41, 128, 18},
};

TEST(FormatTableTest, AgreesWithThePublishedSizesAndCodes) {
  EXPECT_EQ(std::size(kPublished), kFormatCount);
  for (const Published& p : kPublished) {
    const FormatInfo* info = find_format_by_name(p.name);
    ASSERT_NE(info, nullptr) << p.name;
    EXPECT_EQ(info->gguf_code, p.code) << p.name;
    EXPECT_EQ(info->block_values, p.block_values) << p.name;
    EXPECT_EQ(info->block_bytes, p.block_bytes) << p.name;
  }
}

TEST(FormatTableTest, RetiredAndUnknownCodesAreNotFound) {
  for (const uint32_t code : {4U, 5U, 31U, 32U, 33U, 36U, 37U, 38U, 42U, 1000U, 0xFFFFFFFFU}) {
    EXPECT_EQ(find_format_by_gguf_code(code), nullptr) << code;
  }
}

TEST(FormatTableTest, UnknownNamesAreNotFound) {
  for (const char* name : {"", "Q4", "Q4_K_M", "Q4_K ", "q4-k", "F"}) {
    EXPECT_EQ(find_format_by_name(name), nullptr) << name;
  }
}

TEST(FormatTableTest, RowBytesChecksBlocksAndOverflow) {
  const FormatInfo& q4k = format_info(FormatId::kQ4_K);
  EXPECT_EQ(row_bytes(q4k, 0), 0U);
  EXPECT_EQ(row_bytes(q4k, 512), 288U);
  EXPECT_EQ(row_bytes(q4k, 255), std::nullopt);
  EXPECT_EQ(row_bytes(q4k, 257), std::nullopt);
  const uint64_t max = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(row_bytes(format_info(FormatId::kI64), max), std::nullopt);
  EXPECT_EQ(row_bytes(format_info(FormatId::kI64), max / 8), max / 8 * 8);
  EXPECT_EQ(row_bytes(format_info(FormatId::kI64), max / 8 + 1), std::nullopt);
  EXPECT_EQ(row_bytes(format_info(FormatId::kI8), max), max);
  // Q8_K needs more than one byte per value, so a multiple of 256 near the top must overflow.
  EXPECT_EQ(row_bytes(format_info(FormatId::kQ8_K), max - 255), std::nullopt);
}

TEST(FormatTableTest, OnlyIntegersHaveNoDecoder) {
  for (const FormatInfo& info : all_formats()) {
    EXPECT_EQ(info.decode_row == nullptr, info.family == FormatFamily::kInteger) << info.name;
  }
}

}  // namespace
}  // namespace quern::formats
