// AVX2 with 256-bit VNNI: matrix products only.
#define QUERN_DOT_VNNI
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/vec_avx2.h"
// Keeps its place: the kernels are written over the vectors chosen above.
#include "kernels/cpu/matmul_kernels-inl.h"

namespace quern::cpu {

const MatmulKernels kAvxVnniMatmul = matmul_kernels();

}  // namespace quern::cpu
