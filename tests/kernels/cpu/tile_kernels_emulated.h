// The matmul kernels on tiles with the tile unit emulated; the rest of them needs AVX-512 VNNI.
#pragma once

#include "kernels/cpu/kernel_types.h"

namespace quern::cpu_tests {

extern const cpu::MatmulKernels kEmulatedTileMatmul;

}  // namespace quern::cpu_tests
