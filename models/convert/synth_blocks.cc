#include "models/convert/synth_blocks.h"

#include <cmath>
#include <cstring>

#include "config/base/check.h"

namespace quern::convert {
namespace {

constexpr float kDeviation = 0.02F;
// Encoded units are cheap. Drawn ones are thrown away often, up to a thousand times where four
// small scales must come together (NVFP4), hence fewer.
constexpr size_t kEncodedUnits = 4096;
constexpr size_t kDrawnUnits = 256;
// What a drawn block's root mean square may be: a factor of four to either side.
constexpr float kQuietest = kDeviation / 4;
constexpr float kLoudest = kDeviation * 4;

bool encodes(const formats::FormatInfo& format, BlockSource source) {
  return source == BlockSource::kEncoder && format.encode_row != nullptr;
}

float root_mean_square(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return static_cast<float>(std::sqrt(sum / static_cast<double>(values.size())));
}

}  // namespace

float normal_value(uint64_t key, uint64_t i) {
  // Sum of four 16-bit uniforms (Irwin-Hall), scaled to deviation 1: no library function whose
  // last bit depends on the machine.
  const uint64_t bits = mix(key ^ mix(i));
  int64_t sum = 0;
  for (int shift = 0; shift < 64; shift += 16) {
    sum += static_cast<int64_t>((bits >> shift) & 0xffff);
  }
  constexpr float kScale = 1.7320508F / 65536.0F;  // deviation of the sum: 65536 * sqrt(4 / 12)
  return static_cast<float>(sum - 2 * 65535) * kScale;
}

BlockPool::BlockPool(const formats::FormatInfo& format, uint64_t seed, BlockSource source)
    : unit_values_(format.block_values > 1 ? format.block_values : 32),
      unit_bytes_(static_cast<size_t>(unit_values_ / format.block_values * format.block_bytes)),
      n_units_(encodes(format, source) ? kEncodedUnits : kDrawnUnits),
      units_(n_units_ * unit_bytes_) {
  CHECK(format.decode_row != nullptr);
  if (encodes(format, source)) {
    encode_units(format, seed);
  } else {
    draw_units(format, seed);
  }
}

void BlockPool::encode_units(const formats::FormatInfo& format, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(unit_values_));
  for (size_t unit = 0; unit < n_units_; ++unit) {
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = kDeviation * normal_value(seed, unit * values.size() + i);
    }
    format.encode_row(values.data(), units_.data() + unit * unit_bytes_, unit_values_);
  }
}

void BlockPool::draw_units(const formats::FormatInfo& format, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(unit_values_));
  uint64_t draw = 0;
  for (size_t unit = 0; unit < n_units_; ++unit) {
    std::byte* const bytes = units_.data() + unit * unit_bytes_;
    float size = 0;
    // Ends: every format can hold blocks of this size, and random bytes hit them with a
    // probability of at least one in some thousand. NaN fails both comparisons.
    while (!(size >= kQuietest && size <= kLoudest)) {
      for (size_t i = 0; i < unit_bytes_; i += sizeof(uint64_t)) {
        const uint64_t bits = mix(seed ^ mix(draw++));
        std::memcpy(bytes + i, &bits, std::min(sizeof(bits), unit_bytes_ - i));
      }
      format.decode_row(bytes, values.data(), unit_values_);
      size = root_mean_square(values);
    }
  }
}

void BlockPool::fill(uint64_t key, uint64_t first, uint64_t n, std::byte* out) const {
  const uint64_t mask = n_units_ - 1;
  for (uint64_t i = 0; i < n; ++i, out += unit_bytes_) {
    const uint64_t unit = mix(key ^ (first + i)) & mask;
    std::memcpy(out, units_.data() + unit * unit_bytes_, unit_bytes_);
  }
}

}  // namespace quern::convert
