// AVX-512 F, BW, DQ, VL and CD.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/vec_avx512.h"
// Keeps its place: the kernels are written over the vectors chosen above.
#include "kernels/cpu/matmul_kernels-inl.h"
#include "kernels/cpu/op_kernels-inl.h"

namespace quern::cpu {

const OpKernels kAvx512Ops = op_kernels();
const MatmulKernels kAvx512Matmul = matmul_kernels();

}  // namespace quern::cpu
