// Scalar conversions of config/base/half.h against tables made with numpy and ml_dtypes: exhaustive
// where widening, ties and their neighbours where narrowing.
#include "config/base/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/kernels/formats/golden_file.h"

namespace quern {
namespace {

std::map<std::string, uint64_t> read_hashes() {
  std::ifstream in(formats::golden_dir() / "hashes.txt");
  std::map<std::string, uint64_t> hashes;
  std::string name;
  uint64_t hash = 0;
  while (in >> name >> std::hex >> hash) hashes[name] = hash;
  return hashes;
}

void add(uint64_t* hash, uint32_t word) { *hash = (*hash ^ word) * 0x100000001B3ULL; }

constexpr uint64_t kStart = 0xCBF29CE484222325ULL;

template <typename Code, typename Convert>
uint64_t widening_hash(uint32_t n_codes, Convert convert) {
  uint64_t hash = kStart;
  for (uint32_t code = 0; code < n_codes; ++code) {
    const float value = convert(static_cast<Code>(code));
    add(&hash, std::isnan(value) ? 0x7FC00000U : std::bit_cast<uint32_t>(value));
  }
  return hash;
}

TEST(HalfTest, WideningMatchesTheReferenceForEveryCode) {
  auto hashes = read_hashes();
  ASSERT_EQ(hashes.size(), 8U);
  EXPECT_EQ(widening_hash<uint16_t>(65536, f16_to_f32), hashes["f16_to_f32"]);
  EXPECT_EQ(widening_hash<uint16_t>(65536, bf16_to_f32), hashes["bf16_to_f32"]);
  EXPECT_EQ(widening_hash<uint8_t>(256, e4m3_to_f32), hashes["e4m3_to_f32"]);
  EXPECT_EQ(widening_hash<uint8_t>(256, e5m2_to_f32), hashes["e5m2_to_f32"]);
  EXPECT_EQ(widening_hash<uint8_t>(256, e8m0_to_f32), hashes["e8m0_to_f32"]);
  EXPECT_EQ(widening_hash<uint8_t>(256, e8m0_half_to_f32), hashes["e8m0_half_to_f32"]);
}

// The inputs of narrowing_inputs() in make_goldens.py.
std::vector<float> narrowing_inputs() {
  std::vector<float> inputs;
  for (uint32_t code = 0; code < 65536; ++code) {
    const float value = f16_to_f32(static_cast<uint16_t>(code));
    const float next = f16_to_f32(static_cast<uint16_t>(code + 1));
    const float middle = (value + next) * 0.5F;
    const uint32_t m = std::isfinite(middle) ? std::bit_cast<uint32_t>(middle) : 0;
    inputs.push_back(value);
    for (const uint32_t bits : {m, m + 1, m - 1}) inputs.push_back(std::bit_cast<float>(bits));
  }
  uint32_t state = 12345;
  for (int i = 0; i < 100000; ++i) {
    state = state * 1664525U + 1013904223U;
    inputs.push_back(std::bit_cast<float>(state));
  }
  return inputs;
}

TEST(HalfTest, NarrowingMatchesTheReference) {
  auto hashes = read_hashes();
  uint64_t f16 = kStart;
  uint64_t bf16 = kStart;
  for (const float x : narrowing_inputs()) {
    const uint16_t half = f32_to_f16(x);
    const uint16_t brain = f32_to_bf16(x);
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(half)) && std::isnan(bf16_to_f32(brain)));
    }
    add(&f16, std::isnan(x) ? 0x7E00U : half);
    add(&bf16, std::isnan(x) ? 0x7FC0U : brain);
  }
  EXPECT_EQ(f16, hashes["f32_to_f16"]);
  EXPECT_EQ(bf16, hashes["f32_to_bf16"]);
}

TEST(HalfTest, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t code = 0; code < 65536; ++code) {
    const auto half = static_cast<uint16_t>(code);
    const float value = f16_to_f32(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value))));
    } else {
      ASSERT_EQ(f32_to_f16(value), half);
    }
  }
}

TEST(HalfTest, Edges) {
  EXPECT_EQ(f32_to_f16(65519.996F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(f32_to_f16(-65520.0F), 0xFC00);
  EXPECT_EQ(f32_to_f16(0x1p-25F), 0x0000);         // a tie with zero
  EXPECT_EQ(f32_to_f16(0x1.000002p-25F), 0x0001);  // just above it
  EXPECT_EQ(f32_to_f16(0x1.FFFFFEp-26F), 0x0000);
  EXPECT_EQ(f32_to_f16(-0.0F), 0x8000);
  EXPECT_EQ(f32_to_f16(0x1.FFFFFEp-15F), 0x0400);  // rounds up into the normal range
  EXPECT_EQ(f16_to_f32(0x0001), 0x1p-24F);
  EXPECT_EQ(f32_to_bf16(0x1.FFFFFEp127F), 0x7F80);  // the largest float rounds to infinity
}

}  // namespace
}  // namespace quern
