// What the files compiled per instruction set export: one table each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quern::quantize {

// One function per format, named as in format_list.inc without the k; null where rounding to
// nearest is all there is.
struct EncoderTable {
  using Encode = void (*)(const float* src, const float* importance, std::byte* dst,
                          int64_t n_values);
#define QUERN_ENCODER(format) Encode format;
#include "kernels/quantize/encoder_list.inc"
#undef QUERN_ENCODER
};

extern const EncoderTable kScalarEncoders;
// Defined on x86-64.
extern const EncoderTable kAvx2Encoders;
extern const EncoderTable kAvx512Encoders;

}  // namespace quern::quantize
