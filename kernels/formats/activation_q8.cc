// The scalar reference for quantizing activations: block by block, the last one padded.
#include "kernels/formats/activation_q8.h"

#include "config/base/check.h"

namespace quern::formats {

void quantize_activations(const float* x, int64_t n, int block_values, const ActivationQ8& out) {
  CHECK(n >= 0 && (block_values == kQ8aValues || block_values == kQ8aSuperValues));
  const int64_t n_blocks = activation_blocks(n, block_values);
  const int64_t half_sums = block_values / kQ8aHalfValues;
  for (int64_t b = 0; b < n_blocks; ++b) {
    const int64_t first = b * block_values;
    float padded[kQ8aSuperValues] = {};
    for (int64_t i = 0; i < block_values && first + i < n; ++i) padded[i] = x[first + i];
    out.d[b] =
        quantize_block_q8a(padded, block_values, out.q + first, out.half_sums + half_sums * b);
  }
}

}  // namespace quern::formats
