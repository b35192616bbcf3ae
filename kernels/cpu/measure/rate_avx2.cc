// 256-bit vectors, byte products through 16-bit pairs.
#include "kernels/cpu/measure/rate_kernel.h"
#include "kernels/cpu/measure/vec256-inl.h"

#include "kernels/cpu/measure/rate-inl.h"

namespace quern::cpu {

const RateLoops kRateAvx2 = {2.0 * kChains * V::kBytes, 2.0 * (V::kBytes / 4.0) * kChains,
                             int8_rate, f32_rate};

}  // namespace quern::cpu
