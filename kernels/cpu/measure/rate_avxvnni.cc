// 256-bit vectors with VNNI byte dot products.
#include "kernels/cpu/measure/rate_kernel.h"
#define QUERN_RATE_VNNI
#include "kernels/cpu/measure/vec256-inl.h"

#include "kernels/cpu/measure/rate-inl.h"

namespace quern::cpu {

const RateLoops kRateAvxVnni = {2.0 * kChains * V::kBytes, 2.0 * (V::kBytes / 4.0) * kChains,
                                int8_rate, f32_rate};

}  // namespace quern::cpu
