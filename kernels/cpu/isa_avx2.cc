// AVX2, FMA and F16C.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/vec_avx2.h"
// Keeps its place: the kernels are written over the vectors chosen above.
#include "kernels/cpu/matmul_kernels-inl.h"
#include "kernels/cpu/op_kernels-inl.h"

namespace quern::cpu {

const OpKernels kAvx2Ops = op_kernels();
const MatmulKernels kAvx2Matmul = matmul_kernels();

}  // namespace quern::cpu
