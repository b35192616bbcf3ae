// The tables that the files compiled per instruction set export; one pair of names per isa_*.cc.
#pragma once

#include "kernels/cpu/kernel_types.h"

namespace quern::cpu {

extern const OpKernels kScalarOps;
// Multiplies any format.
extern const MatmulFn kScalarOracle;
extern const GatherFn kScalarGather;

// Defined on x86-64.
extern const OpKernels kAvx2Ops;
extern const MatmulKernels kAvx2Matmul;
extern const MatmulKernels kAvxVnniMatmul;
extern const OpKernels kAvx512Ops;
extern const MatmulKernels kAvx512Matmul;
extern const MatmulKernels kAvx512VnniMatmul;
extern const MatmulKernels kAmxInt8Matmul;  // quantized formats

// Defined on 64-bit Arm.
extern const OpKernels kNeonOps;
extern const MatmulKernels kNeonMatmul;
extern const MatmulKernels kNeonDotMatmul;
extern const MatmulKernels kNeonI8mmMatmul;

}  // namespace quern::cpu
