// The searching encoders: errors against those of llama.cpp's quantizer (tests/golden/quantize),
// the same bytes on every instruction set and for any division into calls, and nothing that traps.
#include "kernels/quantize/encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/formats/format.h"

namespace quern::quantize {
namespace {

using formats::FormatInfo;

constexpr int64_t kRows = 16;
constexpr int64_t kColumns = 512;

std::vector<const FormatInfo*> written_formats() {
  std::vector<const FormatInfo*> list;
  for (const FormatInfo& info : formats::all_formats()) {
    if (find_encoder(info.id, {}) != nullptr) list.push_back(&info);
  }
  return list;
}

// The table of the baseline and of every set that this machine has on top.
std::vector<hardware::IsaMask> isa_masks() {
  std::vector<hardware::IsaMask> masks = {{}};
  const hardware::IsaMask machine = hardware::probe_hardware().cpu.isa;
  for (const hardware::Isa isa : {hardware::Isa::kAvx2, hardware::Isa::kAvx512}) {
    if (machine.contains(isa)) masks.emplace_back(isa);
  }
  return masks;
}

std::vector<std::byte> encode(const FormatInfo& info, hardware::IsaMask isa,
                              std::span<const float> x, const float* importance) {
  std::vector<std::byte> bytes(*formats::row_bytes(info, x.size()));
  const Encode function = find_encoder(info.id, isa);
  const auto row_bytes = *formats::row_bytes(info, kColumns);
  // Importance is per column, so such rows are encoded one by one.
  if (importance == nullptr) {
    function(x.data(), nullptr, bytes.data(), static_cast<int64_t>(x.size()));
  } else {
    for (size_t row = 0; row < x.size() / kColumns; ++row) {
      function(x.data() + row * kColumns, importance, bytes.data() + row * row_bytes, kColumns);
    }
  }
  return bytes;
}

double squared_error(const FormatInfo& info, std::span<const float> x,
                     std::span<const std::byte> bytes, const float* importance) {
  std::vector<float> back(x.size());
  info.decode_row(bytes.data(), back.data(), static_cast<int64_t>(x.size()));
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = double{back[i]} - double{x[i]};
    sum += error * error * (importance == nullptr ? 1.0 : double{importance[i % kColumns]});
  }
  return sum;
}

struct Signals {
  std::vector<float> values[3];
  std::vector<float> importance;
};
constexpr const char* kSignalNames[] = {"normal", "student", "demo"};

Signals read_signals() {
  Signals signals;
  std::ifstream file(QUERN_SOURCE_DIR "/tests/golden/quantize/signals.bin", std::ios::binary);
  const auto read = [&](std::vector<float>& to, int64_t n) {
    to.resize(static_cast<size_t>(n));
    file.read(reinterpret_cast<char*>(to.data()), static_cast<std::streamsize>(n * 4));
    ASSERT_TRUE(file.good());
  };
  for (auto& values : signals.values) read(values, kRows * kColumns);
  read(signals.importance, kColumns);
  return signals;
}

TEST(Quantize, ErrsNoMoreThanLlamaCpp) {
  const Signals signals = read_signals();
  std::ifstream golden(QUERN_SOURCE_DIR "/tests/golden/quantize/errors.txt");
  const hardware::IsaMask isa = isa_masks().back();
  int checked = 0;
  std::string format;
  std::string signal;
  std::string kind;
  double theirs = 0;
  while (golden >> format >> signal >> kind >> theirs) {
    SCOPED_TRACE(format + ' ' + signal + ' ' + kind);
    const FormatInfo* info = formats::find_format_by_name(format);
    ASSERT_NE(info, nullptr);
    ASSERT_NE(find_encoder(info->id, isa), nullptr);
    const float* importance = kind == "weighted" ? signals.importance.data() : nullptr;
    for (size_t i = 0; i < 3; ++i) {
      if (signal != kSignalNames[i]) continue;
      const auto bytes = encode(*info, isa, signals.values[i], importance);
      const double ours = squared_error(*info, signals.values[i], bytes, importance);
      RecordProperty(format + '_' + signal + '_' + kind, std::to_string(ours / theirs));
      EXPECT_LE(ours, 1.01 * theirs);
      ++checked;
    }
  }
  EXPECT_EQ(checked, 22 * 6);
}

TEST(Quantize, SameBytesOnEveryInstructionSet) {
  const Signals signals = read_signals();
  const std::span<const float> x = std::span(signals.values[1]).first(4 * kColumns);
  for (const FormatInfo* info : written_formats()) {
    SCOPED_TRACE(info->name);
    for (const float* importance :
         std::initializer_list<const float*>{nullptr, signals.importance.data()}) {
      const auto expected = encode(*info, {}, x, importance);
      for (const hardware::IsaMask isa : isa_masks()) {
        EXPECT_EQ(encode(*info, isa, x, importance), expected) << isa.to_string();
      }
    }
  }
}

TEST(Quantize, BlockBytesDependOnTheBlockAlone) {
  const Signals signals = read_signals();
  const hardware::IsaMask isa = isa_masks().back();
  for (const FormatInfo* info : written_formats()) {
    SCOPED_TRACE(info->name);
    const std::span<const float> x = std::span(signals.values[0]).first(3 * kColumns);
    const auto whole = encode(*info, isa, x, nullptr);
    std::vector<std::byte> parts(whole.size());
    const Encode function = find_encoder(info->id, isa);
    const auto n = static_cast<size_t>(std::max(info->block_values, 32));
    for (size_t v = 0; v < x.size(); v += n) {
      function(x.data() + v, nullptr, parts.data() + *formats::row_bytes(*info, v),
               static_cast<int64_t>(n));
    }
    EXPECT_EQ(parts, whole);
  }
}

TEST(Quantize, ImportantColumnsErrLess) {
  const Signals signals = read_signals();
  std::vector<float> importance(kColumns, 0.01F);
  for (size_t i = 0; i < importance.size(); i += 4) importance[i] = 1.0F;
  const auto error_of_important = [&](const FormatInfo& info, std::span<const std::byte> bytes) {
    std::vector<float> only(importance);
    for (float& w : only) w = w < 1.0F ? 0.0F : 1.0F;
    return squared_error(info, signals.values[0], bytes, only.data());
  };
  for (const FormatInfo* info : written_formats()) {
    if (!info->quantized()) continue;
    SCOPED_TRACE(info->name);
    const auto plain = encode(*info, {}, signals.values[0], nullptr);
    const auto weighted = encode(*info, {}, signals.values[0], importance.data());
    EXPECT_LT(error_of_important(*info, weighted), error_of_important(*info, plain));
  }
}

// Models trained to three weights lose nothing.
TEST(Quantize, TernaryWeightsComeBackExactly) {
  std::mt19937 random(3);
  std::vector<float> x(kColumns);
  for (float& v : x) v = 0.75F * static_cast<float>(static_cast<int>(random() % 3) - 1);
  for (const auto id : {formats::FormatId::kTQ1_0, formats::FormatId::kTQ2_0}) {
    const FormatInfo& info = formats::format_info(id);
    EXPECT_EQ(squared_error(info, x, encode(info, {}, x, nullptr), nullptr), 0.0) << info.name;
  }
}

TEST(Quantize, ZerosComeBackAsZeros) {
  const std::vector<float> x(kColumns, 0.0F);
  const std::vector<float> nothing(kColumns, 0.0F);
  for (const FormatInfo* info : written_formats()) {
    for (const float* importance : std::initializer_list<const float*>{nullptr, nothing.data()}) {
      EXPECT_EQ(squared_error(*info, x, encode(*info, {}, x, importance), nullptr), 0.0)
          << info->name;
    }
  }
}

// Finite values again, whatever came in (the sanitizer build watches for conversions that are not
// defined).
TEST(Quantize, StrangeInputDoesNotTrap) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float most = std::numeric_limits<float>::max();
  const float least = std::numeric_limits<float>::denorm_min();
  for (const FormatInfo* info : written_formats()) {
    if (!info->quantized()) continue;
    SCOPED_TRACE(info->name);
    for (const float special : {inf, -inf, nan, most, -most, least, -least, 1e-20F}) {
      for (const float rest : {0.0F, 1.0F, -1.0F, least, most, -most}) {
        std::vector<float> x(256, rest);
        std::vector<float> importance(256, 1.0F);
        x[3] = special;
        importance[5] = special;
        std::vector<std::byte> bytes(*formats::row_bytes(*info, 256));
        for (const float* weights :
             std::initializer_list<const float*>{nullptr, importance.data()}) {
          find_encoder(info->id, {})(x.data(), weights, bytes.data(), 256);
          std::vector<float> back(256);
          info->decode_row(bytes.data(), back.data(), 256);
          for (const float v : back) ASSERT_TRUE(std::isfinite(v)) << special << ' ' << rest;
        }
      }
    }
  }
}

}  // namespace
}  // namespace quern::quantize
