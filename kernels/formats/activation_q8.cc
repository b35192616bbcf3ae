// The scalar reference for quantizing activations: block by block, the last one padded.
#include "kernels/formats/activation_q8.h"

#include "config/base/check.h"

namespace quern::formats {

void quantize_activations(const float* x, int64_t n, const ActivationQ8& out) {
  CHECK(n >= 0);
  const int64_t n_blocks = activation_blocks(n);
  for (int64_t b = 0; b < n_blocks; ++b) {
    const int64_t first = b * kQ8aValues;
    float padded[kQ8aValues] = {};
    for (int64_t i = 0; i < kQ8aValues && first + i < n; ++i) padded[i] = x[first + i];
    out.d[b] = quantize_block_q8a(padded, out.q + first, out.half_sums + 2 * b);
  }
}

}  // namespace quern::formats
