// Armv8 Advanced SIMD.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/vec_neon.h"
// Keeps its place: the kernels are written over the vectors chosen above.
#include "kernels/cpu/matmul_kernels-inl.h"
#include "kernels/cpu/op_kernels-inl.h"

namespace quern::cpu {

const OpKernels kNeonOps = op_kernels();
const MatmulKernels kNeonMatmul = matmul_kernels();

}  // namespace quern::cpu
