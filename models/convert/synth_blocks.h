// Random blocks of a tensor format with weights of believable size, and streams of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "config/base/mix.h"
#include "kernels/formats/format.h"

namespace quern::convert {

// Where the bytes of random blocks come from.
enum class BlockSource : uint8_t {
  kEncoder,      // normal values of deviation 0.02 through the format's encoder, where it has one
  kRandomBytes,  // random bytes that decode to values of about that size: change with no encoder
};

// Blocks to draw from. A unit is one block, or 32 values of a format without blocks.
class BlockPool {
 public:
  // `format` carries weights (decode_row is not null). Without an encoder the bytes are random.
  BlockPool(const formats::FormatInfo& format, uint64_t seed,
            BlockSource source = BlockSource::kEncoder);

  int64_t unit_values() const { return unit_values_; }
  size_t unit_bytes() const { return unit_bytes_; }
  // Units [first, first + n) of the endless stream that `key` names.
  void fill(uint64_t key, uint64_t first, uint64_t n, std::byte* out) const;

 private:
  void encode_units(const formats::FormatInfo& format, uint64_t seed);
  void draw_units(const formats::FormatInfo& format, uint64_t seed);

  int64_t unit_values_;
  size_t unit_bytes_;
  size_t n_units_;  // a power of two
  std::vector<std::byte> units_;
};

// The i-th of a stream of values, normal to the eye: mean 0, deviation 1, within 3.5.
float normal_value(uint64_t key, uint64_t i);

}  // namespace quern::convert
