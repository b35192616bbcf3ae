// Encoders of IQ4_NL and IQ4_XS: the peak of a group meets the table's end (-127), every value
// takes the nearest table entry. No search and no importance weights.
#include "kernels/formats/encode.h"
#include "kernels/formats/encode_fit.h"
#include "kernels/formats/pack.h"

namespace quern::formats {
namespace {

// Index of the entry of kIq4Values nearest to value / scale; the entry for 0 if the scale is 0.
int nearest_entry(float value, float scale) {
  const float wanted = scale == 0.0F ? 0.0F : value / scale;
  int best = 0;
  for (int i = 1; i < 16; ++i) {
    const float best_error = std::fabs(wanted - static_cast<float>(kIq4Values[best]));
    if (std::fabs(wanted - static_cast<float>(kIq4Values[i])) < best_error) best = i;
  }
  return best;
}

// 32 values: the first 16 in the low nibbles, the rest in the high ones.
void store_entries(const float* x, float scale, uint8_t* qs) {
  for (int j = 0; j < 16; ++j) {
    qs[j] =
        static_cast<uint8_t>(nearest_entry(x[j], scale) | (nearest_entry(x[j + 16], scale) << 4));
  }
}

}  // namespace

void encode_row_iq4_nl(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatIQ4_NL>(src, dst, n_values, [](const float* x, BlockIQ4_NL* block) {
    block->d = f32_to_f16(signed_peak(x, 32) / static_cast<float>(FormatIQ4_NL::kQMin));
    store_entries(x, f16_to_f32(block->d), block->qs);
  });
}

void encode_row_iq4_xs(const float* src, std::byte* dst, int64_t n_values) {
  encode_blocks<FormatIQ4_XS>(src, dst, n_values, [](const float* x, BlockIQ4_XS* block) {
    int scale[8];
    block->d = signed_scales(x, 8, 32, FormatIQ4_XS::kQMin, 31, scale);
    for (int& code : scale) code += 32;
    block->scales_h = pack_iq4_xs_scales(scale, block->scales_l);
    for (int g = 0; g < 8; ++g) {
      store_entries(x + 32 * g, FormatIQ4_XS::group_scale(*block, g), block->qs + 16 * g);
    }
  });
}

}  // namespace quern::formats
