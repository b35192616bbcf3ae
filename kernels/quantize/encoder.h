// Encoders that search: the bytes of a format whose decoded values have the least squared error
// that an affordable search finds, each error weighted by the importance of its column.
//
// kernels/formats keeps the encoders by definition (round to nearest), which tests and synthetic
// models use; these are for files that people keep. Same bytes on every instruction set and for any
// division of a tensor into calls: a block depends on nothing but its own values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config/hardware/profile.h"
#include "kernels/formats/format.h"

namespace quern::quantize {

// Encodes n_values (a multiple of the format's block) from `src` to `dst`. `importance` has a
// weight of at least 0 for each value, or is null: all alike. What is not finite is taken for the
// nearest finite value (NaN: 0); weights count relative to each other within a block.
using Encode = void (*)(const float* src, const float* importance, std::byte* dst,
                        int64_t n_values);

// Names the bytes that encoders give: counts up when one of them gives others for the same values.
inline constexpr uint64_t kEncoderVersion = 1;

// The encoder of a format for a machine with these instruction sets; null for formats that carry no
// weights or are not written here (format_info tells nothing about that: this does).
Encode find_encoder(formats::FormatId format, hardware::IsaMask isa);

}  // namespace quern::quantize
